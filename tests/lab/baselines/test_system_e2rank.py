"""E2Rank: one model's document vectors, ranked by the vector of a prompt that shows the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lab.baselines.tiny_decoders import DOCUMENTS, QUERY, Reference, save_decoder

from unimoer_rag.errors import BackboneError
from unimoer_rag.lab.baselines.e2rank import E2Rank
from unimoer_rag.lab.baselines.two_stage import TwoStage

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokens = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    return save_decoder(tmp_path_factory.mktemp("e2rank"), tokens=tokens, template=TEMPLATE)


@pytest.fixture
def system(folder: Path) -> E2Rank:
    return E2Rank(folder, device="cpu", dtype="float32", shown=3)


def vector(reference: Reference, text: str) -> np.ndarray:
    _, states = reference.states(text)
    return (states[-1] / states[-1].norm()).numpy()


def prompt(query: str, shown: list[str]) -> str:
    listed = "\n".join(f"[{at}] {text}" for at, text in enumerate(shown, start=1))
    return (
        "<|im_start|>user\nGiven a web search query and some relevant documents, rerank the "
        f"documents that answer the query:\nDocuments:\n{listed}\nSearch Query: {query}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_a_prompt_of_the_first_documents_ranks_all(folder, system) -> None:
    reference = Reference(folder)
    asked = vector(reference, prompt(QUERY, DOCUMENTS[:3]))
    expected = [vector(reference, f"{d}<|endoftext|>") @ asked for d in DOCUMENTS]
    found = system.rank(QUERY, DOCUMENTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32
    # The prompt's documents matter, those behind them do not.
    swapped = [*DOCUMENTS[:3], DOCUMENTS[4], DOCUMENTS[3]]
    np.testing.assert_allclose(system.rank(QUERY, swapped)[[0, 1, 2, 4, 3]], found, atol=1e-6)
    other = system.rank(QUERY, [DOCUMENTS[4], *DOCUMENTS[1:4], DOCUMENTS[0]])
    assert not np.allclose(other[1:4], found[1:4], atol=1e-3)


def test_queries_are_found_with_an_instruction(folder, system) -> None:
    task = "Given a web search query, retrieve relevant passages that answer the query"
    expected = vector(Reference(folder), f"Instruct: {task}\nQuery:{QUERY}<|endoftext|>")
    np.testing.assert_allclose(system.embed([QUERY], "query")[0], expected, atol=1e-5)


def test_what_was_embedded_is_not_embedded_again(folder, system, monkeypatch) -> None:
    vectors = system.embed(DOCUMENTS, "document")
    vectors[:] = 0  # ours to change
    read: list[int] = []
    run = system.body.run
    monkeypatch.setattr(
        system.body, "run", lambda rows, *args: read.append(len(rows)) or run(rows, *args)
    )
    whole = TwoStage("e2rank", embedder=system, ranker=system)
    whole.forget()  # before a call is timed: the vectors are an index, which stays
    [scores] = whole.rank([QUERY], [DOCUMENTS])
    assert read == [1]  # the prompt
    anew = E2Rank(folder, device="cpu", dtype="float32", shown=3)
    np.testing.assert_allclose(anew.rank(QUERY, DOCUMENTS), scores, atol=1e-5)


def test_only_so_many_vectors_are_kept(folder, system, monkeypatch) -> None:
    small = E2Rank(folder, device="cpu", dtype="float32", shown=3, kept=2)
    read: list[int] = []
    run = small.body.run
    monkeypatch.setattr(
        small.body, "run", lambda rows, *args: read.append(len(rows)) or run(rows, *args)
    )
    for _ in range(2):
        found = small.rank(QUERY, DOCUMENTS)
        np.testing.assert_allclose(found, system.rank(QUERY, DOCUMENTS), atol=1e-5)
    assert read == [1, len(DOCUMENTS), 1, len(DOCUMENTS) - 2]


def test_documents_are_embedded_and_shown_by_their_words(folder, system) -> None:
    spaced = [text.replace(" ", "\n  ") for text in DOCUMENTS]
    np.testing.assert_array_equal(
        system.embed(spaced, "document"), system.embed(DOCUMENTS, "document")
    )
    np.testing.assert_array_equal(system.rank(QUERY, spaced), system.rank(QUERY, DOCUMENTS))
    words = " ".join(["refunds"] * 1030)
    (cut,) = system.embed([words], "document")
    (whole,) = system.embed([" ".join(["refunds"] * 1024)], "document")
    np.testing.assert_array_equal(cut, whole)


def test_repeated_documents_have_one_score(system) -> None:
    scores = system.rank(QUERY, [*DOCUMENTS, DOCUMENTS[0]])
    # A product of matrices may sum its last column in another order than the rest.
    assert scores[0] == pytest.approx(scores[-1], abs=1e-6)
    assert system.rank(QUERY, []).shape == (0,)


def test_without_a_chat_template_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="no chat template, which ranking needs"):
        E2Rank(save_decoder(tmp_path / "bare"), device="cpu", dtype="float32")


def test_results_say_what_the_prompt_is_made_of(system) -> None:
    described = system.describe()
    assert (described["shown"], described["rerank_task"][-6:]) == (3, "query:")
    assert len(system.modules) == 1
