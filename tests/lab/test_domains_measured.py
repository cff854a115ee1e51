"""Held-out questions of a domain, and how they are measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model.tiny_models import CORPUS, make_model, randomise

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.lab.domains import encoded, material, measured, parted, read_by
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval import Document


@pytest.fixture
def dataset() -> BeirDataset:
    questions = [Question(f"q{at}", f"is {text}?") for at, text in enumerate(CORPUS)]
    questions += [Question(f"again{at}", f"IS {text}?") for at, text in enumerate(CORPUS)]
    qrels = {q.id: {q.id[-1]: 1} for q in questions}
    corpus = {str(at): Document(text, str(at)) for at, text in enumerate(CORPUS)}
    return BeirDataset("law", "train", corpus, questions, qrels)


def model_of(folder: Path, *, queries_only: bool) -> UniMoER:
    """Its experts have learnt."""
    model = randomise(make_model(folder))
    for name in ("embed", "rerank"):
        model.change_task(replace(model.task(name), queries_only=queries_only))
    return model


def test_no_words_are_held_out_and_learnt_from(dataset: BeirDataset) -> None:
    held, others = parted(dataset)
    assert len(held) >= len(dataset.questions) // 5
    assert len(held) + len(others) == len(dataset.questions)
    assert {q.text.lower() for q in held}.isdisjoint(q.text.lower() for q in others)
    assert parted(dataset) == (held, others)


def test_what_is_learnt_from(dataset: BeirDataset) -> None:
    _, others = parted(dataset)
    some = material(dataset, others, "3")
    assert [q.id for q in some.questions] == [q.id for q in others[:3]]
    assert set(some.qrels) == {q.id for q in others[:3]}
    assert material(dataset, others, "all").questions == others


def test_documents_are_read_by_the_experts_that_read_documents(
    dataset: BeirDataset, tiny_bert: Path, tmp_path: Path
) -> None:
    asks = model_of(tiny_bert, queries_only=True)
    frozen = encoded(asks, dataset, tmp_path / "kept.safetensors")
    assert torch.equal(
        encoded(asks, dataset, tmp_path / "kept.safetensors").vectors, frozen.vectors
    )
    assert read_by(asks, dataset, frozen) is frozen
    reads = model_of(tiny_bert, queries_only=False)
    own = read_by(reads, dataset, frozen)
    wanted = torch.from_numpy(reads.embed(CORPUS))
    torch.testing.assert_close(own.vectors, wanted, atol=1e-5, rtol=0)
    assert not torch.allclose(own.vectors, frozen.vectors, atol=1e-3)


@pytest.mark.parametrize("queries_only", [True, False])
def test_what_is_measured_is_what_the_model_gives(
    dataset: BeirDataset, tiny_bert: Path, tmp_path: Path, queries_only: bool
) -> None:
    model = model_of(tiny_bert, queries_only=queries_only)
    passages = read_by(model, dataset, encoded(model, dataset, tmp_path / "kept.safetensors"))
    questions = dataset.questions[:4]
    found = measured(model, dataset, questions, passages)
    asked = [q.text for q in questions]
    scores = model.embed(asked, "query") @ model.embed(CORPUS).T
    for at in range(4):
        place = int((scores[at] > scores[at][at]).sum())
        gain = 1 / torch.tensor(place + 2.0).log2().item() if place < 10 else 0.0
        assert found["retrieval"][at] == pytest.approx(gain, abs=1e-6)
        ranked = model.rank(asked[at], CORPUS)
        place = int((ranked > ranked[at]).sum())
        gain = 1 / torch.tensor(place + 2.0).log2().item() if place < 10 else 0.0
        assert found["rerank"][at] == pytest.approx(gain, abs=1e-6)


def test_nothing_is_reranked_without_states(
    dataset: BeirDataset, tiny_bert: Path, tmp_path: Path
) -> None:
    model = model_of(tiny_bert, queries_only=True)
    passages = encoded(model, dataset, tmp_path / "kept.safetensors")
    found = measured(model, dataset, dataset.questions[:2], replace(passages, states=None))
    assert set(found) == {"retrieval"}
