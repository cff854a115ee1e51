"""Do the tasks pull the experts the same way? Cosines of gradients averaged over many batches.

A cosine of two single batches is mostly noise, and near 0 whatever the tasks are: batches of one
task are hardly more alike. So each task's gradient is averaged over `_HALF` batches, twice. The
cosine of a task's two halves says how much noise is left, and `between / sqrt(within * within)`
is what the cosine of the tasks would be without it (Spearman, "The proof and measurement of
association between two things", 1904).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.panels import Findings, Panel, Points
from unimoer_rag.lab.studies.runs import StudyRun
from unimoer_rag.model import UniMoER
from unimoer_rag.training import gradient_means

__all__ = ["gradients", "watch_gradients"]

_HALF = 64
_PLACES = {"at the start": 0.05, "in the middle": 0.5, "at the end": 1.0}
"""Where in training: a head that is new gives the experts no gradient before its first steps."""

_BETWEEN, _WITHIN = "between", "within"


def watch_gradients(run: StudyRun, model: UniMoER, step: int) -> dict[str, float]:
    """Cosines at a step where they are wanted, nothing at others; see `runs.Watch`."""
    if step not in _steps(run).values():
        return {}
    # Batches behind those of training, the same at every place.
    first = run.recipe.optimizer.steps
    halves = [range(first + half * _HALF, first + (half + 1) * _HALF) for half in range(2)]
    means = gradient_means(
        model, run.recipe, halves, data=run.data, sets=run.sets(), cache=run.mined
    )
    return _cosines(means)


def _steps(run: StudyRun) -> dict[str, int]:
    """The steps after which the model is measured, by what they are called."""
    every, steps = run.recipe.validate_every, run.recipe.optimizer.steps
    return {
        name: min(max(1, round(share * steps / every)) * every, steps)
        for name, share in _PLACES.items()
    }


def _cosines(means: dict[str, list[dict[str, Tensor]]]) -> dict[str, float]:
    """Of each task's halves, and of the halves of two tasks, over what both reach."""
    found: dict[str, float] = {}
    for name, (one, other) in means.items():
        found[f"{_WITHIN} {name}"] = _cosine(one, other)
    for a, b in combinations(means, 2):
        pairs = [_cosine(x, y) for x in means[a] for y in means[b]]
        found[f"{_BETWEEN} {a} and {b}"] = float(np.mean(pairs))
    return found


def _cosine(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    both = [name for name in one if name in other]
    left, right = (torch.cat([of[name].flatten() for name in both]) for of in (one, other))
    return float(torch.nn.functional.cosine_similarity(left, right, dim=0))


def gradients(subject: Subject) -> Findings:
    """Cosines within and between tasks, through training, and free of the batches' noise."""
    logged = {r["step"]: r["validation"] for r in subject.run.log if r.get("validation")}
    numbers: dict[str, float] = {}
    lines: dict[str, Points] = {}
    for place, step in _steps(subject.run).items():
        measured = logged.get(step, {})
        for what, value in {**measured, **_corrected(measured)}.items():
            numbers[f"cosine of mean gradients {what}, {place}"] = value
            lines.setdefault(what, []).append((float(step), value))
    if not lines:
        return Findings()
    panel = Panel(
        title="Cosines of mean gradients",
        kind="lines",
        x="step",
        y="cosine",
        series=lines,
        note=f"Each mean is over {_HALF} batches; corrected: free of the noise that is left.",
    )
    return Findings(panels=(panel,), numbers=numbers)


def _corrected(measured: dict[str, float]) -> dict[str, float]:
    """Cosines of two tasks as they would be without noise, where the halves agree at all."""
    within = {k.partition(" ")[2]: v for k, v in measured.items() if k.startswith(f"{_WITHIN} ")}
    found = {}
    for a, b in combinations(within, 2):
        if within[a] > 0 and within[b] > 0:
            between = measured[f"{_BETWEEN} {a} and {b}"]
            found[f"{_BETWEEN} {a} and {b}, corrected"] = between / (within[a] * within[b]) ** 0.5
    return found
