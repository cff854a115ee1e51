"""When to abstain: the doubt from which a reader gives no answer.

Made-up unanswerable questions are easier than those people write, so a reader trained on them is
too sure that there is an answer. One number, chosen on questions with and without, corrects that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unimoer_rag.data import BeirDataset
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import f1, read_contexts
from unimoer_rag.model import UniMoER

__all__ = ["best_threshold", "calibrate_reader"]


def best_threshold(doubts: Sequence[float], gains: Sequence[float]) -> tuple[float, float]:
    """The doubt to abstain from, with the highest mean F1.

    Args:
        doubts: each question's `Reading.doubt`.
        gains: what answering earns over abstaining: the span's F1, or -1 where abstaining is
            right.

    Returns:
        The threshold, half way between two doubts, and the mean gain there.
    """
    order = sorted(range(len(doubts)), key=lambda i: doubts[i])
    best, best_at, total = 0.0, 0, 0.0
    for at, i in enumerate(order, start=1):
        total += gains[i]
        if total > best:
            best, best_at = total, at
    edges = [0.0, *(doubts[i] for i in order), 1.0]
    # Questions before `best_at` are answered: their doubts lie below the threshold.
    return (edges[best_at] + edges[best_at + 1]) / 2, best / len(doubts)


def calibrate_reader(model: UniMoER, dataset: BeirDataset) -> float:
    """Set the READ task's abstention threshold; returns it.

    Raises:
        DataError: the data set has no passages to read, or no unanswerable questions.
    """
    questions = [q for q in dataset.questions if q.answers is not None and q.context]
    if all(q.answers for q in questions):
        raise DataError(f"{dataset.name}: no unanswerable question to calibrate abstention on")
    read = list(read_contexts(Engine.of(model), dataset, questions))
    gains = [f1(best.text, q.answers, rules="squad") if q.answers else -1.0 for q, best in read]
    threshold, _ = best_threshold([best.doubt for _, best in read], gains)
    model.change_task(replace(model.task("read"), abstain=threshold))
    return threshold
