"""What a reader's confidence means, and when it abstains.

Made-up unanswerable questions are easier than those people write, so a reader trained on them is
too sure that there is an answer. Two numbers, fitted on questions with and without, make its
confidence the chance that the passage answers (Platt, "Probabilistic outputs for support vector
machines", 1999); a third, the doubt from which it gives no answer, is chosen on them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unimoer_rag.data import BeirDataset, Question, beir_set
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, TrainingError
from unimoer_rag.evaluation import f1, read_contexts
from unimoer_rag.model import Reading, SpanHead, UniMoER
from unimoer_rag.training.mining.mining_settings import Mining
from unimoer_rag.training.mining.negatives import mine
from unimoer_rag.training.mining.searchers import BM25Searcher
from unimoer_rag.training.objectives.reading import hard_passages

_NEWTON_STEPS = 50
_RIDGE = 1e-9  # keeps a step finite where all margins are the same

__all__ = [
    "best_threshold",
    "calibrate_confidence",
    "calibrate_reader",
    "fit_platt",
    "scale_confidence",
    "with_mined",
]


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


def fit_platt(margins: Sequence[float], answerable: Sequence[bool]) -> tuple[float, float]:
    """Slope and shift for which `sigmoid(slope * margin + shift)` is the chance of an answer.

    Logistic regression by Newton's method, on targets that are drawn in a little from 0 and 1 as
    Platt has them, so that questions which a margin tells apart wholly give no infinite slope.

    Args:
        margins: each question's `Reading.margin`.
        answerable: whether its passage answers it.

    Raises:
        TrainingError: a higher margin does not speak for an answer.
    """
    truth = np.asarray(answerable, dtype=bool)
    n, m = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (n + 1) / (n + 2), 1 / (m + 2))
    inputs = np.stack([np.asarray(margins, dtype=np.float64), np.ones(len(truth))], axis=1)
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        slopes = inputs.T @ (chance - target)
        bends = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        weights -= np.linalg.solve(bends + _RIDGE * np.eye(2), slopes)
    slope, shift = (float(weight) for weight in weights)
    if not slope > 0:  # a NaN is not
        raise TrainingError(
            f"the slope of the confidence is {slope:g}: expected one above 0, from a reader whose "
            "margins are higher where the passage answers; train it first"
        )
    return slope, shift


@torch.no_grad()
def scale_confidence(model: UniMoER, slope: float, shift: float) -> None:
    """Make every margin `slope * margin + shift`, in the weights of the reading head.

    The span that is read stays the same: all spans' logits are scaled alike.
    """
    head = model.heads["read"]
    assert isinstance(head, SpanHead)
    for parameter in (*head.out.parameters(), *head.null.parameters()):
        parameter.mul_(slope)
    head.null.bias.sub_(shift)


def calibrate_confidence(model: UniMoER, dataset: BeirDataset) -> tuple[float, float]:
    """Make the READ task's confidence the chance that a passage answers; returns slope and shift.

    Raises:
        DataError: the data set has no passages to read, or no unanswerable questions.
        TrainingError: the reader's margins say nothing.
    """
    read = _read(model, dataset)
    # A passage of which nothing can be read has no margin to learn from.
    told = [(best.margin, bool(q.answers)) for q, best in read if best.text]
    slope, shift = fit_platt([margin for margin, _ in told], [answers for _, answers in told])
    scale_confidence(model, slope, shift)
    Engine.of(model).cache.clear()  # it would answer with the last weights
    return slope, shift


def calibrate_reader(model: UniMoER, dataset: BeirDataset) -> float:
    """Set the READ task's abstention threshold; returns it.

    Raises:
        DataError: the data set has no passages to read, or no unanswerable questions.
    """
    read = _read(model, dataset)
    gains = [f1(best.text, q.answers, rules="squad") if q.answers else -1.0 for q, best in read]
    threshold, _ = best_threshold([best.doubt for _, best in read], gains)
    model.change_task(replace(model.task("read"), abstain=threshold))
    return threshold


def _read(model: UniMoER, dataset: BeirDataset) -> list[tuple[Question, Reading]]:
    """What is read in each question's own passage."""
    questions = [q for q in dataset.questions if q.answers is not None and q.context]
    if all(q.answers for q in questions):
        raise DataError(f"{dataset.name}: no unanswerable question to calibrate abstention on")
    return list(read_contexts(Engine.of(model), dataset, questions))


def with_mined(dataset: BeirDataset, *, cache: Path) -> BeirDataset:
    """Every question once more with a passage that shares its words and holds no answer of it.

    That is what a reader meets behind a search: passages about the same that do not say it.

    Args:
        dataset: with answers and their passages.
        cache: folder of mined passages.
    """
    asked = [q for q in dataset.questions if q.answers and q.context in dataset.corpus]
    config = Mining(
        searcher="bm25",
        passages=len(dataset.corpus),
        questions=len(dataset.questions),
        depth=5,
        ceiling=None,
        exclude_answers=True,
    )
    hard = hard_passages(dataset, mine(beir_set(dataset), BM25Searcher(), config, cache=cache))
    place = {document.text: name for name, document in dataset.corpus.items()}
    twins = [
        replace(q, id=f"{q.id}-mined", answers=(), context=place[hard[q.text][0]])
        for q in asked
        if hard.get(q.text)
    ]
    return replace(dataset, questions=[*asked, *twins])
