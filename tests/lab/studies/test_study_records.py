"""Records carry a study to another machine; held-out questions; gradients through training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lab.studies.tiny_study import write_study

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.errors import DataError, TrainingError
from unimoer_rag.lab.studies.analyses import mean_gradients
from unimoer_rag.lab.studies.differences import compared
from unimoer_rag.lab.studies.held_out import parted
from unimoer_rag.lab.studies.records import Measured, Record
from unimoer_rag.lab.studies.results import StudyResult
from unimoer_rag.lab.studies.runner import Budget, run_study
from unimoer_rag.lab.studies.runs import Done
from unimoer_rag.lab.studies.settings import Base, Study, find_base

Files = tuple[Path, Base]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    data, base, _ = write_study(tmp_path_factory.mktemp("tiny"))
    return data, find_base(str(base))


def _study(**fields: Any) -> Study:
    return Study.model_validate({"name": "tiny", "title": "t", "question": "q", **fields})


def _run(study: Study, files: Files, runs: Path, **options: Any) -> StudyResult:
    return run_study(study, files[1], data=files[0], runs=runs, **options)


@pytest.mark.slow
def test_another_machine_goes_on_from_the_records(files: Files, tmp_path: Path) -> None:
    records = tmp_path / "records"
    study = _study(
        variants={
            "joint": {},
            "one": {"changes": {"objectives": {"embed": None}}, "measures": ["rerank"]},
        },
        comparisons=[{"first": "one", "second": "joint", "measures": ["rerank"]}],
    )
    one = Budget(seeds=(0,))
    with pytest.raises(TrainingError, match="no run of the study 'tiny' is finished"):
        _run(study, files, tmp_path / "first", records=records, finished=True)
    first = _run(study, files, tmp_path / "first", records=records, budget=one)
    assert (first.finished, first.planned, first.interim) == (2, 2, False)
    assert max(path.stat().st_size for path in records.glob("*.json")) < 4000
    # Nothing of the first machine but the records: no run is made again.
    second = _run(study, files, tmp_path / "second", records=records, budget=one)
    assert second.values == first.values
    assert second.comparisons == first.comparisons
    assert not list((tmp_path / "second").glob("*/train"))
    assert set(second.values["one"]) == {"dev/rerank"}
    # Of two seeds, one is there.
    interim = _run(study, files, tmp_path / "third", records=records, finished=True)
    assert (interim.finished, interim.planned, interim.seeds) == (2, 4, [0])
    assert interim.comparisons == first.comparisons


@pytest.mark.slow
def test_watching_gradients_changes_nothing(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mean_gradients, "_HALF", 2)
    one = Budget(seeds=(0,))
    alone = _run(_study(variants={"joint": {}}), files, tmp_path / "alone", budget=one)
    study = _study(variants={"joint": {}}, analyses={"gradients": ["joint"]})
    watched = _run(study, files, tmp_path / "watched", budget=one)
    assert watched.values == alone.values
    assert watched.variants["joint"].runs == alone.variants["joint"].runs
    numbers = {name: n.mean for name, n in watched.variants["joint"].numbers.items()}
    told = "cosine of mean gradients {}, at the end"
    within = [numbers[told.format(f"within {task}")] for task in ("embed", "rerank")]
    between = numbers[told.format("between embed and rerank")]
    assert all(-1 <= value <= 1 for value in (*within, between))
    if min(within) > 0:
        corrected = numbers[told.format("between embed and rerank, corrected")]
        assert corrected == pytest.approx(between / np.sqrt(within[0] * within[1]), abs=1e-3)


def test_a_tenth_of_the_questions_is_held_out_by_its_words() -> None:
    texts = [f"what is thing number {n}?" for n in range(400)]
    questions = [Question(f"q{n}", text) for n, text in enumerate([*texts, *map(str.upper, texts)])]
    dataset = BeirDataset("toy", "train", {}, questions, {q.id: {"d": 1} for q in questions})
    train, held_out = parted(dataset)
    assert 50 < len(held_out.questions) < 110
    assert sorted([*train.questions, *held_out.questions], key=lambda q: q.id) == sorted(
        questions, key=lambda q: q.id
    )
    assert set(held_out.qrels) == {q.id for q in held_out.questions}
    # A question asked twice is on one side.
    assert not {q.text.lower() for q in train.questions} & {
        q.text.lower() for q in held_out.questions
    }
    assert (
        parted(replace(dataset, questions=questions[::-1])).held_out.questions
        == (held_out.questions[::-1])
    )


def test_a_record_of_other_questions_is_refused() -> None:
    record = Record(
        study="s", variant="a", seed=3, machine={}, versions={}, findings={},
        done=Done(seconds=1.0, parameters={}), values={"dev/embed": [0.5, 1.0]},
    )  # fmt: skip
    sets = {"dev": Measured(passages=9, questions=["x", "y"])}
    assert record.by_question(sets) == {"dev/embed": {"x": 0.5, "y": 1.0}}
    with pytest.raises(DataError, match="'a', seed 3, has other questions of dev/embed"):
        record.by_question({"dev": Measured(passages=9, questions=["x"])})


def test_a_gate_that_is_shut_leaves_its_task_untested() -> None:
    generator = np.random.default_rng(5)

    def values(shift: float) -> dict[int, dict[str, dict[str, float]]]:
        found: dict[int, dict[str, dict[str, float]]] = {}
        for seed in range(3):
            noise = generator.normal(0.5 + shift, 0.01, 60)
            scores = {f"q{n}": float(v) for n, v in enumerate(noise)}
            found[seed] = dict.fromkeys(("embed", "own/embed", "rerank", "own/rerank"), scores)
        return found

    study = _study(
        margin=0.02,
        variants={name: {} for name in ("frozen", "embed", "rerank", "joint", "open", "later")},
        comparisons=[
            {"first": "frozen", "second": "embed", "measures": ["own/embed"], "family": "gate"},
            {"first": "frozen", "second": "rerank", "measures": ["own/rerank"], "family": "gate"},
            {"first": "joint", "second": "open"},
            {"first": "joint", "second": "later"},
        ],
    )
    arms = {"frozen": 0.0, "embed": 0.1, "rerank": 0.0, "joint": 0.1, "open": 0.1}
    rows = {
        (r.second, r.measure): r for r in compared(study, {n: values(s) for n, s in arms.items()})
    }
    assert not any(second == "later" for second, _ in rows)  # it has no run yet
    assert rows["embed", "own/embed"].significant
    assert rows["open", "embed"].tested
    assert rows["open", "embed"].equal
    assert rows["open", "embed"].margin == pytest.approx(0.02 * 0.6, abs=1e-3)
    assert not rows["open", "rerank"].tested
    # Of seeds that one of them lacks, nothing is compared.
    few = {n: values(s) for n, s in arms.items()}
    del few["open"][2]
    assert {r.seeds for r in compared(study, few) if r.second == "open"} == {2}
