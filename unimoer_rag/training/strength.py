"""How much of the experts to keep: a task's strength, chosen on development sets.

Experts learn from few domains and may forget what the backbone knows of others. Scaling a task's
experts back between the frozen backbone (0) and the trained model (1) often keeps the gain
without the loss, as interpolating weights does (WiSE-FT, Wortsman et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.datasets import BeirDataset, Run
from unimoer_rag.evaluation.evaluate import EvalOptions, evaluate
from unimoer_rag.model.unimoer import UniMoER

__all__ = ["STRENGTHS", "Candidate", "choose", "sweep"]

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)

# What a task is judged by: the part of an evaluation, and its measure.
_PARTS = {"embed": "retrieval", "rerank": "rerank"}
_MEASURE = "nDCG@10"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One strength of a task, measured.

    Attributes:
        strength: factor on the experts' output.
        scores: nDCG@10 by data set.
    """

    strength: float
    scores: Mapping[str, float]

    @property
    def macro(self) -> float:
        """Mean over the data sets, each weighing the same."""
        return sum(self.scores.values()) / len(self.scores)


def sweep(
    model: UniMoER,
    datasets: Sequence[tuple[BeirDataset, Run | None]],
    task: str,
    strengths: Sequence[float] = STRENGTHS,
    *,
    on_measured: Callable[[Candidate], None] = lambda candidate: None,
) -> list[Candidate]:
    """Measure a task at several strengths; the model is left as it was.

    Args:
        model: the checkpoint.
        datasets: development sets, with a run to rescore where they have one. A given run is
            there to be reranked: its order says nothing of our embeddings.
        task: "embed" or "rerank".
        strengths: to try; include 0, the frozen backbone.
        on_measured: called after each strength.

    Raises:
        InputError: another task, or no data set that measures it.
    """
    if task not in _PARTS:
        raise InputError(f"cannot measure the task {task!r}: expected one of {', '.join(_PARTS)}")
    kept = model.task(task)
    judged = [(d, run) for d, run in datasets if d.qrels and not (task == "embed" and run)]
    if not judged:
        raise InputError(
            f"none of {len(datasets)} data sets measures the task {task!r}: expected one with "
            "judgements, and for 'embed' without a run"
        )
    candidates = []
    try:
        for strength in strengths:
            model.tasks[task] = kept.with_strength(strength)
            scores = {}
            for dataset, run in judged:
                options = EvalOptions(parts=("retrieval", _PARTS[task]), n_timed=0)
                result = evaluate(model, dataset, run=run, options=options)
                scores[dataset.name] = result[_PARTS[task]][_MEASURE]
            candidates.append(Candidate(strength, scores))
            on_measured(candidates[-1])
    finally:
        model.tasks[task] = kept
    return candidates


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The best macro average among the strengths that lower no set below the frozen backbone.

    Of equal ones, the weakest.

    Raises:
        InputError: the frozen backbone is not among them.
    """
    frozen = next((c for c in candidates if c.strength == 0), None)
    if frozen is None:
        raise InputError(
            f"strengths {[c.strength for c in candidates]}: expected 0, the frozen backbone, too"
        )
    safe = [
        c for c in candidates if all(c.scores[name] >= frozen.scores[name] for name in c.scores)
    ]
    return max(safe, key=lambda c: (c.macro, -c.strength))
