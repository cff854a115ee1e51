"""When to abstain: the no-answer logit's bias, chosen on questions with and without answers.

Made-up unanswerable questions are easier than those people write, so a reader trained on them is
too sure that there is an answer. One number, added to the no-answer logit, corrects for that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.answers import f1
from unimoer_rag.evaluation.datasets import BeirDataset
from unimoer_rag.model.jobs import Reading, reading
from unimoer_rag.model.unimoer import UniMoER

__all__ = ["best_shift", "calibrate_reader"]


def best_shift(margins: Sequence[float], gains: Sequence[float]) -> tuple[float, float]:
    """The shift of the no-answer logit with the highest mean F1.

    Args:
        margins: best span's logit minus the no-answer logit, for each question.
        gains: what answering earns over abstaining: the span's F1, or -1 where abstaining is
            right.

    Returns:
        The shift, half way between two margins, and the mean gain there.
    """
    order = sorted(range(len(margins)), key=lambda i: -margins[i])
    best, best_at, total = 0.0, 0, 0.0
    for at, i in enumerate(order, start=1):
        total += gains[i]
        if total > best:
            best, best_at = total, at
    ordered = [margins[i] for i in order]
    edges = [ordered[0] + 1.0, *ordered, ordered[-1] - 1.0]
    # Questions before `best_at` are answered: their margins lie above the shift.
    return (edges[best_at] + edges[best_at + 1]) / 2, best / len(margins)


def calibrate_reader(model: UniMoER, dataset: BeirDataset) -> float:
    """Shift the READ head's no-answer bias in place; returns the shift.

    Raises:
        DataError: the data set has no passages to read, or no unanswerable questions.
    """
    questions = [q for q in dataset.questions if q.answers is not None and q.context]
    if all(q.answers for q in questions):
        raise DataError(f"{dataset.name}: no unanswerable question to calibrate abstention on")
    engine = Engine.of(model)
    futures = [
        engine.submit(reading(model, q.text, [dataset.corpus[q.context or ""].text]))
        for q in questions
    ]
    readings: list[Reading] = [future.result()[0] for future in futures]
    gains = [
        f1(r.text, q.answers) if q.answers else -1.0
        for r, q in zip(readings, questions, strict=True)
    ]
    shift, _ = best_shift([r.margin for r in readings], gains)
    with torch.no_grad():
        model.heads["read"].null.bias += shift  # type: ignore[union-attr, operator]
    return shift
