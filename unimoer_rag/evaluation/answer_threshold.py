"""The confidence from which on an answer should be given, chosen on questions.

As SQuAD 2.0's script finds its threshold (Rajpurkar et al. 2018), that one is taken at which the
mean F1 is highest: an answer given has its F1, an abstention has 1 where there is no answer and 0
where there is one. How many questions to come have an answer decides it as much as the model does,
so both kinds are weighed by that share. What is told of it is cross-validated: on questions that
it was not chosen on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.answer_outcomes import Outcome
from unimoer_rag.evaluation.statistics import LEVEL, RESAMPLES, Difference, compare
from unimoer_rag.generation import THRESHOLD

__all__ = ["AnswerCalibration", "calibrate_answers"]

_KEPT = 0.98  # of the questions whose passage is read, and should be still
_FOLDS = 5
_MOST_TRIED = 500  # thresholds
_AT_ONCE = 200  # samples of the questions

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AnswerCalibration:
    """Thresholds of a pipeline that reads, and what they stand on.

    Attributes:
        threshold: confidence from which on an answer is given.
        low: lower end of the 95% interval of that choice, over questions.
        high: its upper end.
        f1: mean F1 with the threshold, of 100, on questions that it was not chosen on, against that
            with the default: `first` the default's, `second` the chosen one's.
        min_score: least score of a passage that is read.
        left_out: share of the passages read now that it leaves out.
        silent: share of the questions without an answer in which it leaves none to read.
        answerable: questions with an answer.
        given: questions that were given as ones without.
        made: questions asked without their document.
        elsewhere: questions that were not, as another document answers them.
        share: of the questions to come that have an answer, as they were weighed.
    """

    threshold: float
    low: float
    high: float
    f1: Difference
    min_score: float
    left_out: float
    silent: float
    answerable: int
    given: int
    made: int
    elsewhere: int
    share: float

    @property
    def better(self) -> bool:
        """Whether the threshold is better than the default for more than chance."""
        return self.f1.low > 0 and self.f1.p_value < 1 - LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {**asdict(self), "default": THRESHOLD, "better": self.better}


def calibrate_answers(
    outcomes: Sequence[Outcome], *, share: float = 0.5, elsewhere: int = 0, seed: int = 0
) -> AnswerCalibration:
    """Choose `threshold` and `min_score` on what became of questions.

    Args:
        outcomes: see `answer_outcomes`.
        share: of the questions to come that have an answer.
        elsewhere: questions that could not be asked without their document.
        seed: of the folds and intervals.

    Raises:
        InputError: the share is not between 0 and 1.
        DataError: there are too few questions with an answer, or none without.
    """
    if not 0 < share < 1:
        raise InputError(
            f"answerable is {share}: expected the share of questions that have an answer, between "
            "0 and 1"
        )
    has = np.array([one.answerable for one in outcomes], dtype=bool)
    if has.sum() < _FOLDS or has.all():
        raise DataError(
            f"{has.sum()} questions with an answer and {(~has).sum()} without: expected {_FOLDS} "
            "with one or more, in documents that others stand beside, to choose a threshold on"
        )
    cases = _Cases(outcomes, has, share)
    tried = _thresholds(cases.confidence)
    values = cases.values(tried)  # [questions, thresholds]
    chosen = _best(values.mean(axis=0))
    low, high = _interval(values, tried, has, seed)
    min_score = _min_score(outcomes)
    without = [one for one in outcomes if not one.answerable]
    read = [score for one in outcomes for score in one.scores]
    return AnswerCalibration(
        threshold=float(tried[chosen]),
        low=low,
        high=high,
        f1=_cross_validated(cases, outcomes, values, tried, seed),
        min_score=min_score,
        left_out=float(np.mean([score < min_score for score in read])) if read else 0.0,
        silent=float(np.mean([max(one.scores, default=0.0) < min_score for one in without])),
        answerable=int(has.sum()),
        given=sum(one.kind == "given" for one in outcomes),
        made=sum(one.kind == "made" for one in outcomes),
        elsewhere=elsewhere,
        share=share,
    )


class _Cases:
    """Outcomes as arrays, so weighed that a plain mean is that over the questions to come."""

    def __init__(self, outcomes: Sequence[Outcome], has: NDArray[np.bool_], share: float) -> None:
        self.confidence: Floats = np.array([one.confidence for one in outcomes])
        self._f1: Floats = np.array([one.f1 for one in outcomes])
        self._has = has
        n = len(outcomes)
        self._weights: Floats = np.where(has, share * n / has.sum(), (1 - share) * n / (~has).sum())

    def values(self, thresholds: Floats) -> Floats:
        """What each question adds at each threshold, [questions, thresholds]."""
        gives = (self.confidence[:, None] >= thresholds[None, :]) & (self.confidence[:, None] >= 0)
        right = np.where(self._has[:, None], gives * self._f1[:, None], ~gives)
        weighed: Floats = right * self._weights[:, None]
        return weighed


def _thresholds(confidence: Floats) -> Floats:
    """One between any two confidences that were seen, 0, and one above all; in few digits."""
    seen = np.unique(confidence[confidence >= 0])
    if len(seen) > _MOST_TRIED:
        seen = np.unique(np.quantile(seen, np.linspace(0, 1, _MOST_TRIED), method="nearest"))
    between = [_short(float(a), float(b)) for a, b in itertools.pairwise(seen)]
    above = [_short(float(seen[-1]), 1.0)] if len(seen) and seen[-1] < 1 else []
    return np.array([0.0, *between, *above])


def _short(low: float, high: float) -> float:
    """The number in the fewest digits that is above `low` and no higher than `high`."""
    middle = (low + high) / 2
    for digits in range(2, 17):
        if low < (short := round(middle, digits)) <= high:
            return short
    return high


def _best(means: Floats) -> int:
    """The place of the highest mean; of equal ones, where most is answered."""
    return int(np.argmax(means >= means.max() - 1e-12))


def _interval(
    values: Floats, tried: Floats, has: NDArray[np.bool_], seed: int
) -> tuple[float, float]:
    """Where 95% of the thresholds lie that samples of the questions choose."""
    rng = np.random.default_rng(seed)
    chosen: list[float] = []
    for _ in range(0, RESAMPLES, _AT_ONCE):
        times = np.zeros((_AT_ONCE, len(values)))  # how often each question was drawn
        for side in (np.flatnonzero(has), np.flatnonzero(~has)):
            n = len(side)
            times[:, side] = rng.multinomial(n, np.full(n, 1 / n), size=_AT_ONCE)
        chosen += [float(tried[_best(means)]) for means in times @ values / len(values)]
    low, high = np.quantile(chosen, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _cross_validated(
    cases: _Cases, outcomes: Sequence[Outcome], values: Floats, tried: Floats, seed: int
) -> Difference:
    """F1 of each question by the threshold that the other folds choose, against the default's."""
    ids = sorted({one.question for one in outcomes})
    dealt = dict(zip(ids, np.random.default_rng(seed).permutation(len(ids)) % _FOLDS, strict=True))
    # A question and its twin without a document are on one side.
    fold = np.array([dealt[one.question] for one in outcomes])
    ours = np.zeros(len(outcomes))
    for held in range(_FOLDS):
        chosen = _best(values[fold != held].mean(axis=0))
        ours[fold == held] = values[fold == held, chosen]
    default = cases.values(np.array([THRESHOLD]))[:, 0]
    return compare(list(100 * default), list(100 * ours), seed=seed)


def _min_score(outcomes: Sequence[Outcome]) -> float:
    """The highest score that leaves almost every question the passage that answers it."""
    scores = sorted(one.relevant for one in outcomes if one.relevant is not None)
    if not scores:
        return 0.0
    least = scores[math.floor(len(scores) * (1 - _KEPT))]
    if least <= 0:
        return 0.0
    scale = 10.0 ** (1 - math.floor(math.log10(least)))
    return math.floor(least * scale) / scale  # two digits, never above it
