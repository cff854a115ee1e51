"""Settings of a task: measured at each value, chosen by the rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from model.tiny_models import make_model

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.evaluate import EvalOptions, evaluate
from unimoer_rag.model.tasks import RERANK
from unimoer_rag.training.settings import Candidate, choose, sweep, with_setting


@pytest.mark.slow
def test_each_strength_is_measured_and_the_model_left_alone(
    tiny_bert: Path, toy: BeirDataset
) -> None:
    model = make_model(tiny_bert)
    seen: list[tuple[str, float, float]] = []
    task, embed = model.task("rerank"), model.task("embed")
    run = {q.id: dict.fromkeys(toy.corpus, 1.0) for q in toy.questions}
    pooled = replace(toy, name="pooled")
    candidates = sweep(
        model,
        [(toy, None), (pooled, run)],
        "rerank",
        "strength",
        (0.0, 1.0),
        on_measured=lambda *measured: seen.append(measured),
    )
    assert seen == [
        (name, c.value, c.scores[name]) for name in ("toy", "pooled") for c in candidates
    ]
    assert [c.value for c in candidates] == [0.0, 1.0]
    assert model.task("rerank") == task
    options = EvalOptions(parts=("rerank",), n_timed=0)
    for candidate in candidates:
        assert candidate.scores.keys() == {"toy", "pooled"}
        assert candidate.macro == pytest.approx(sum(candidate.scores.values()) / 2)
        model.change_task(task.with_strength(candidate.value))
        measured = evaluate(model, pooled, run=run, options=options).to_dict()["rerank"]["nDCG@10"]
        assert candidate.scores["pooled"] == pytest.approx(measured, abs=2e-3)
    assert candidates[0].scores != candidates[1].scores

    (silent,) = sweep(model, [(toy, None), (pooled, run)], "embed", "strength", (0.0,))
    assert silent.scores.keys() == {"toy"}
    frozen = make_model(tiny_bert, trained=False)
    expected = evaluate(frozen, toy, options=EvalOptions(parts=("retrieval",), n_timed=0)).to_dict()
    assert silent.scores["toy"] == pytest.approx(expected["retrieval"]["nDCG@10"], abs=1e-4)
    assert model.task("embed") == embed


def test_what_cannot_be_measured_is_refused(tiny_bert: Path, toy: BeirDataset) -> None:
    model = make_model(tiny_bert)
    with pytest.raises(InputError, match=r"'read'.*embed, rerank"):
        sweep(model, [(toy, None)], "read", "strength", (0.0,))
    with pytest.raises(InputError, match="none of 1 data sets measures the task 'embed'"):
        sweep(model, [(toy, {"q0": {"d0": 1.0}})], "embed", "strength", (0.0,))


def _candidate(value: float, a: float, b: float) -> Candidate:
    return Candidate(value, {"a": a, "b": b})


def test_the_best_that_harms_no_set_is_chosen() -> None:
    frozen = _candidate(0.0, 0.5, 0.5)
    harmful = _candidate(1.0, 0.9, 0.49)
    safe = _candidate(0.5, 0.6, 0.5)
    assert choose([frozen, harmful, safe], safe=True) is safe
    assert choose([frozen, harmful, safe], safe=False) is harmful
    assert choose([frozen, harmful], safe=True) is frozen
    # Of equals, the one nearer to the backbone.
    assert choose([frozen, _candidate(0.75, 0.5, 0.6), safe], safe=True) is safe
    with pytest.raises(InputError, match="expected 0 too"):
        choose([harmful, safe], safe=True)


def test_contrast_is_set_alone() -> None:
    assert with_setting(RERANK, "contrast", 0.5) == replace(RERANK, contrast=0.5)


def test_coverage_is_a_range_and_zero_trusts_all() -> None:
    assert with_setting(RERANK, "coverage", 0.35).coverage == (0.35, 0.65)
    assert with_setting(replace(RERANK, coverage=(0.2, 0.5)), "coverage", 0.0) == RERANK


@pytest.mark.slow
def test_feedback_is_measured_as_it_ranks(tiny_bert: Path, toy: BeirDataset) -> None:
    model = make_model(tiny_bert)
    task = model.task("rerank")
    values = (0.0, 0.5)
    measured = sweep(model, [(toy, None)], "rerank", "feedback", values)
    options = EvalOptions(parts=("rerank",), n_timed=0)
    for candidate in measured:
        model.change_task(replace(task, feedback=candidate.value))
        expected = evaluate(model, toy, options=options).to_dict()["rerank"]["nDCG@10"]
        assert candidate.scores["toy"] == pytest.approx(expected, abs=2e-3)
    assert measured[0].scores != measured[1].scores
