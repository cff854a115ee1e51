"""Settings of a task that are chosen on development sets: strength and those of feedback.

- **strength**: experts learn from few domains and may forget what the backbone knows of others.
  Scaling a task's experts back between the frozen backbone (0) and the trained model (1) often
  keeps the gain without the loss, as interpolating weights does (WiSE-FT, Wortsman et al. 2022).
- **feedback**: how much the best documents say in a reranking (`LateHead.rank`).
- **coverage**: how much of the query a document must cover to be trusted in that feedback.
- **contrast**: how much a document loses in it by likeness to the worst ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unimoer_rag.data import BeirDataset, Run
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation import EvalOptions, caching, first_stage
from unimoer_rag.evaluation.evaluate import evaluate
from unimoer_rag.model import Task, UniMoER

__all__ = ["VALUES", "Candidate", "Setting", "choose", "sweep", "with_setting"]

Setting = Literal["strength", "feedback", "coverage", "contrast"]

# What is tried where nothing is said.
VALUES: Mapping[Setting, tuple[float, ...]] = {
    "strength": (0.0, 0.25, 0.5, 0.75, 1.0),
    "feedback": (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8),
    # Where trust begins; 0 trusts all.
    "coverage": (0.0, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45),
    "contrast": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25),
}

# From where trust begins to where it is whole.
_RISE = 0.3

# What a task is judged by: the part of an evaluation, and its measure.
_PARTS = {"embed": "retrieval", "rerank": "rerank"}
_MEASURE = "nDCG@10"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value of a setting, measured.

    Attributes:
        value: of the setting.
        scores: nDCG@10 by data set.
    """

    value: float
    scores: dict[str, float]

    @property
    def macro(self) -> float:
        """Mean over the data sets, each weighing the same."""
        return sum(self.scores.values()) / len(self.scores)


def sweep(
    model: UniMoER,
    datasets: Sequence[tuple[BeirDataset, Run | None]],
    task: str,
    setting: Setting,
    values: Sequence[float],
    *,
    on_measured: Callable[[str, float, float], None] = lambda dataset, value, score: None,
) -> list[Candidate]:
    """Measure a task at several values of a setting; the model is left as it was.

    Args:
        model: the checkpoint.
        datasets: development sets, with a run to rescore where they have one. A given run is
            there to be reranked: its order says nothing of our embeddings.
        task: "embed" or "rerank".
        setting: which of them.
        values: to try; include 0.
        on_measured: called after each measurement with the data set, the value and the score.

    Raises:
        InputError: another task, or no data set that measures it.
    """
    if task not in _PARTS:
        raise InputError(f"cannot measure the task {task!r}: expected one of {', '.join(_PARTS)}")
    judged = [(d, run) for d, run in datasets if d.qrels and not (task == "embed" and run)]
    if not judged:
        raise InputError(
            f"none of {len(datasets)} data sets measures the task {task!r}: expected one with "
            "judgements, and for 'embed' without a run"
        )
    kept = model.task(task)
    candidates = [Candidate(value, {}) for value in values]
    try:
        for dataset, run in judged:
            # The first stage is the same for every way to rerank it.
            first = first_stage(model, dataset) if task == "rerank" and run is None else run
            with caching(Engine.of(model)):
                for candidate in candidates:
                    model.change_task(with_setting(kept, setting, candidate.value))
                    score = _measure(model, dataset, first, task)
                    candidate.scores[dataset.name] = score
                    on_measured(dataset.name, candidate.value, score)
    finally:
        model.change_task(kept)
    return candidates


def with_setting(task: Task, setting: Setting, value: float) -> Task:
    """The same task with one setting changed."""
    if setting == "strength":
        return task.with_strength(value)
    if setting == "feedback":
        return replace(task, feedback=value)
    if setting == "contrast":
        return replace(task, contrast=value)
    return replace(task, coverage=(value, round(value + _RISE, 6)) if value else (0.0, 0.0))


def _measure(model: UniMoER, dataset: BeirDataset, first: Run | None, task: str) -> float:
    options = EvalOptions(parts=(_PARTS[task],), n_timed=0)
    return evaluate(model, dataset, run=first, options=options).means(_PARTS[task])[_MEASURE]


def choose(candidates: Sequence[Candidate], *, safe: bool) -> Candidate:
    """The best macro average; of equal ones, the value nearest to 0.

    Args:
        candidates: measured; one of them at 0.
        safe: only among the values that lower no set below what it has at 0.

    Raises:
        InputError: 0 is not among them.
    """
    zero = next((c for c in candidates if c.value == 0), None)
    if zero is None:
        raise InputError(f"values {[c.value for c in candidates]}: expected 0 too, to compare with")
    allowed = [
        c
        for c in candidates
        if not safe or all(c.scores[name] >= zero.scores[name] for name in c.scores)
    ]
    return max(allowed, key=lambda c: (c.macro, -c.value))
