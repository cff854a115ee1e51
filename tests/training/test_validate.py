"""Validation while training: shrunken sets, and numbers of the weights as they are now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from model.tiny_models import make_model, randomise
from training.toy import write_toy

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.retrieval.types import Document
from unimoer_rag.training.validate import Validator, shrink


def test_shrinking_keeps_all_that_questions_need(toy: BeirDataset) -> None:
    others = {f"x{i}": Document(f"text {i}", f"x{i}") for i in range(700)}
    large = replace(toy, corpus={**toy.corpus, **others})
    small = shrink(large, 5)
    assert [q.id for q in small.questions] == [q.id for q in large.limit(5, 0).questions]
    assert small.qrels.keys() == {q.id for q in small.questions}
    needed = {d for docs in small.qrels.values() for d in docs}
    needed |= {q.context for q in small.questions if q.context}
    assert needed <= set(small.corpus)
    assert len(small.corpus) == len(needed) + 500
    assert list(small.corpus) == [d for d in large.corpus if d in small.corpus]
    assert shrink(large, 5) == small
    assert set(shrink(large, 5, seed=1).corpus) != set(small.corpus)


def test_a_small_set_is_kept_whole(toy: BeirDataset) -> None:
    assert shrink(toy, 100) == toy


def test_there_may_be_nothing_to_validate_on(toy_data: Path) -> None:
    assert Validator.find(toy_data, 10) is None  # its only split is "train"


@pytest.mark.slow
def test_measures_are_those_of_the_weights_as_they_are_now(tiny_bert: Path, tmp_path: Path) -> None:
    write_toy(tmp_path / "reading", "dev")
    write_toy(tmp_path / "finding", "dev", context=False)
    validator = Validator.find(tmp_path, 6)
    assert validator is not None
    assert [d.name for d in validator.datasets] == ["finding", "reading"]
    model = make_model(tiny_bert)
    first = validator(model)
    assert first.keys() == {"finding/retrieval", "finding/rerank", "reading/f1"}
    assert 0 <= first["finding/rerank"] <= 1
    assert 0 <= first["reading/f1"] <= 100
    # As a training step would: other weights in the same model, the same engine.
    randomise(model, seed=7)
    assert validator(model) == validator(make_model(tiny_bert, seed=7))


def test_a_set_without_judgements_is_passed_over(toy: BeirDataset, tiny_bert: Path) -> None:
    bare = replace(
        toy, qrels={}, questions=[replace(q, context=None, answers=None) for q in toy.questions]
    )
    reading = replace(toy, name="reading")
    assert Validator([bare, reading])(make_model(tiny_bert)).keys() == {"reading/f1"}
