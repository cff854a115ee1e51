"""Qwen3-Embedding and Qwen3-Reranker equal transformers' own answers, one text at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lab.baselines.tiny_decoders import DOCUMENTS, QUERY, Reference, save_decoder

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.lab.baselines.qwen3 import Qwen3Embedding, Qwen3Reranker

TASK = "Given a web search query, retrieve relevant passages that answer the query"
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".'
)


TOKENS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "yes", "no"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder(tmp_path_factory.mktemp("qwen3"), tokens=TOKENS)


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Qwen3Embedding:
    return Qwen3Embedding(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def reranker(folder: Path) -> Qwen3Reranker:
    return Qwen3Reranker(folder, device="cpu", dtype="float32")


def vector(reference: Reference, text: str) -> np.ndarray:
    _, states = reference.states(f"{text}<|endoftext|>")
    return (states[-1] / states[-1].norm()).numpy()


def probability(reference: Reference, query: str, document: str) -> float:
    prompt = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<Instruct>: {TASK}\n"
        f"<Query>: {query}\n<Document>: {document}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    yes, no = (reference.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    return float(reference.logits(prompt)[[no, yes]].softmax(0)[1])


def test_vectors_are_those_of_the_end_token(folder, embedder) -> None:
    reference = Reference(folder)
    expected = [vector(reference, text) for text in DOCUMENTS]
    np.testing.assert_allclose(embedder.embed(DOCUMENTS, "document"), expected, atol=1e-5)
    asked = vector(reference, f"Instruct: {TASK}\nQuery:{QUERY}")
    np.testing.assert_allclose(embedder.embed([QUERY], "query")[0], asked, atol=1e-5)
    assert embedder.dimension == len(asked) == 32
    assert abs(expected[0] @ expected[1]) < 0.9  # texts do differ


@pytest.mark.parametrize("tied", [True, False])
def test_scores_are_yes_against_no(tmp_path, tied) -> None:
    folder = save_decoder(tmp_path, tokens=TOKENS, tied=tied)
    reference = Reference(folder)
    expected = [probability(reference, QUERY, document) for document in DOCUMENTS]
    found = Qwen3Reranker(folder, device="cpu", dtype="float32").rank(QUERY, DOCUMENTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32
    assert np.ptp(found) > 0.05


@pytest.mark.parametrize("budget", [1, 1_000])
def test_neither_batches_nor_order_change_a_number(embedder, reranker, monkeypatch, budget) -> None:
    vectors, scores = embedder.embed(DOCUMENTS, "document"), reranker.rank(QUERY, DOCUMENTS)
    for part in (embedder, reranker):
        monkeypatch.setattr(part.body, "token_budget", budget)
    backwards = DOCUMENTS[::-1]
    np.testing.assert_allclose(embedder.embed(backwards, "document")[::-1], vectors, atol=1e-5)
    np.testing.assert_allclose(reranker.rank(QUERY, backwards)[::-1], scores, atol=1e-5)


def test_what_is_too_long_loses_its_end_and_keeps_the_frame(folder, reranker) -> None:
    reference = Reference(folder)
    ids = reference.tokenizer(DOCUMENTS[2], add_special_tokens=False)["input_ids"]
    kept = reference.tokenizer.decode(ids[:9])
    embedder = Qwen3Embedding(folder, device="cpu", dtype="float32", max_tokens=9)
    found = embedder.embed([DOCUMENTS[2]], "document")
    np.testing.assert_allclose(found[0], vector(reference, kept), atol=1e-5)
    with pytest.raises(InputError, match="max_tokens is 20: the prompt alone has"):
        Qwen3Reranker(folder, device="cpu", dtype="float32", max_tokens=20)
    tight = Qwen3Reranker(folder, device="cpu", dtype="float32", max_tokens=300)
    whole = " ".join(DOCUMENTS)
    assert tight.rank(QUERY, [whole]) == tight.rank(QUERY, [f"{whole} and so on"])
    assert tight.rank(QUERY, [whole]) != reranker.rank(QUERY, [whole])


def test_nothing_gives_nothing(embedder, reranker) -> None:
    assert embedder.embed([], "query").shape == (0, 32)
    assert reranker.rank(QUERY, []).shape == (0,)


def test_half_precision_gives_nearly_the_same(folder, embedder) -> None:
    half = Qwen3Embedding(folder, device="cpu", dtype="bfloat16")
    vectors = half.embed(DOCUMENTS, "document")
    assert vectors.dtype == np.float32
    assert np.sum(vectors * embedder.embed(DOCUMENTS, "document"), axis=1).min() > 0.99
    assert half.describe()["dtype"] == "bfloat16"


def test_what_is_loaded_and_what_results_say_of_it(folder, embedder, reranker) -> None:
    described = embedder.describe()
    assert described["model"] == str(folder)
    assert described["task"] == TASK
    assert len(described["sha256"]["model.safetensors"]) == 64
    # No output layer stays in memory beside the body: two rows of it are kept.
    body = sum(p.numel() for m in reranker.modules for p in m.parameters())
    tied = sum(p.numel() for p in Reference(folder).model.model.parameters())
    assert body == tied


def test_a_model_without_the_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="has no token 'yes'"):
        Qwen3Reranker(save_decoder(tmp_path / "a"), device="cpu", dtype="float32")
