"""GritLM: one set of weights that embeds in both directions, ranks and writes causally."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from generation.tiny_llm import finish, reference
from lab.baselines.tiny_decoders import DOCUMENTS, QUERY, Reference, save_decoder
from model.tiny_models import save_backbone

from unimoer_rag.errors import BackboneError
from unimoer_rag.generation.writer import Writer
from unimoer_rag.lab.baselines.gritlm import GritLM
from unimoer_rag.retrieval.types import Hit, Passage

INSTRUCTION = "Given a question, retrieve Wikipedia passages that answer the question"
TEMPLATE = (
    "<|begin|>{% for message in messages %}<|user|>\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


# Mistral's tokenizer begins texts with a token of its own, Qwen's does not.
@pytest.fixture(scope="module", params=["mistral", "qwen3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return save_decoder(folder, request.param, tied=False, template=TEMPLATE)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Reference:
    return Reference(folder)


@pytest.fixture(scope="module")
def system(folder: Path) -> GritLM:
    return GritLM(folder, device="cpu", dtype="float32")


@torch.inference_mode()
def in_both_directions(plain: Reference, frame: str, text: str) -> np.ndarray:
    """The layers called by hand with a mask that hides nothing; the mean of the text's states."""
    body, tokenizer = plain.model.model, plain.tokenizer
    ids = tokenizer(frame + text, return_tensors="pt")["input_ids"]
    hidden = body.embed_tokens(ids)
    n = ids.shape[1]
    rotary = body.rotary_emb(hidden, torch.arange(n).unsqueeze(0))
    for layer in body.layers:
        hidden = layer(hidden, attention_mask=torch.zeros(1, 1, n, n), position_embeddings=rotary)
    states = body.norm(hidden)[0]
    mean = states[len(tokenizer(frame)["input_ids"]) :].mean(0)
    return (mean / mean.norm()).numpy()


def probability(plain: Reference, query: str, document: str) -> float:
    prompt = (
        f"<|user|>\nPassage: {document}\nQuery: {query}\nDoes the passage answer the query? "
        "Answer Yes or No.\n<|assistant|>\n"
    )
    n = len(plain.tokenizer(prompt)["input_ids"])
    yes, no = (plain.tokenizer(prompt + word)["input_ids"][n] for word in ("Yes", "No"))
    return float(plain.logits(prompt, framed=True)[[no, yes]].softmax(0)[1])


def test_vectors_are_means_over_the_text_alone_seen_both_ways(plain, system) -> None:
    expected = [in_both_directions(plain, "<|embed|>\n", text) for text in DOCUMENTS]
    np.testing.assert_allclose(system.embed(DOCUMENTS, "document"), expected, atol=1e-5)
    asked = in_both_directions(plain, f"<|user|>\n{INSTRUCTION}\n<|embed|>\n", QUERY)
    np.testing.assert_allclose(system.embed([QUERY], "query")[0], asked, atol=1e-5)


def test_embedding_sees_what_follows_and_ranking_does_not(system) -> None:
    first, second = system.body.ids([DOCUMENTS[0], DOCUMENTS[3]])
    n = min(len(first), len(second)) - 4
    rows = [[*first[:n], *first[-3:]], [*first[:n], *second[-3:]]]

    def states(causal: bool) -> list[torch.Tensor]:
        return system.body.run(rows, lambda _, states: states[:n].clone(), causal=causal)

    torch.testing.assert_close(*states(True))
    assert not torch.allclose(*states(False), atol=1e-3)


@pytest.mark.parametrize("budget", [1, 1_000])
def test_neither_batches_nor_order_change_a_number(system, monkeypatch, budget) -> None:
    vectors, scores = system.embed(DOCUMENTS, "document"), system.rank(QUERY, DOCUMENTS)
    monkeypatch.setattr(system.body, "token_budget", budget)
    backwards = DOCUMENTS[::-1]
    np.testing.assert_allclose(system.embed(backwards, "document")[::-1], vectors, atol=1e-5)
    np.testing.assert_allclose(system.rank(QUERY, backwards)[::-1], scores, atol=1e-5)


def test_scores_are_yes_against_no(plain, system) -> None:
    expected = [probability(plain, QUERY, document) for document in DOCUMENTS]
    np.testing.assert_allclose(system.rank(QUERY, DOCUMENTS), expected, atol=1e-5)
    assert np.ptp(expected) > 0.05


def test_the_same_weights_write(folder, system) -> None:
    messages = [{"role": "user", "content": QUERY}]
    tokenizer, expected = reference(folder, messages, 12)
    before = system.embed([QUERY], "query")
    ids, text = finish(system.language_model(max_tokens=12).begin(messages))
    assert ids == [token for token in expected if token != tokenizer.eos_token_id]
    assert tokenizer.decode(ids, skip_special_tokens=True).startswith(text)  # a letter may be cut
    np.testing.assert_array_equal(system.embed([QUERY], "query"), before)


def test_it_answers_from_passages(system) -> None:
    hits = [Hit(Passage(DOCUMENTS[0], "refunds.md", "Refunds", 0, 10), rerank=0.9)]
    generation = Writer(system.language_model(max_tokens=4)).generate(QUERY, hits)
    assert isinstance(generation.text, str)


def test_long_texts_lose_their_end(folder, system) -> None:
    short = GritLM(folder, device="cpu", dtype="float32", max_tokens=16)
    (cut,) = short.embed([DOCUMENTS[4]], "document")
    (same,) = short.embed([f"{DOCUMENTS[4]} and so on"], "document")
    np.testing.assert_array_equal(cut, same)
    assert short.rank(QUERY, [DOCUMENTS[4]]) == short.rank(QUERY, [f"{DOCUMENTS[4]} and more"])


def test_a_text_without_tokens_still_has_a_vector(system) -> None:
    (empty,) = system.embed([""], "document")
    assert np.linalg.norm(empty) == pytest.approx(1, abs=1e-5)
    assert system.embed([], "query").shape == (0, 32)
    assert system.rank(QUERY, []).shape == (0,)


def test_one_copy_is_loaded(plain, system) -> None:
    found = sum(p.numel() for m in system.modules for p in m.parameters())
    assert found == sum(p.numel() for p in plain.model.parameters())
    assert system.describe()["instruction"] == INSTRUCTION


def test_without_an_output_layer_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="hold no output layer"):
        GritLM(save_backbone("mistral", tmp_path), device="cpu", dtype="float32")
