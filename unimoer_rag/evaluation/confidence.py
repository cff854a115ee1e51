"""Whether a confidence can be believed: does it tell what has an answer, and is it right as often
as it says?

- **AUROC**: how often a question with an answer gets the higher confidence of two, one of each kind
  (Mann and Whitney 1947); 0.5 is chance.
- **ECE**: the expected calibration error (Naeini et al. 2015; Guo et al. 2017, 1706.04599), the
  mean gap between confidence and truth over bins of equal width, weighed by what lies in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.statistics import LEVEL, RESAMPLES

__all__ = ["auroc", "calibration_error", "confidence_report"]

BINS = 10

Floats = NDArray[np.float64]


def auroc(confidences: Sequence[float], answerable: Sequence[bool]) -> float:
    """The chance that an answerable question has a higher confidence than another; ties half.

    Raises:
        InputError: both kinds of questions are needed, with one confidence each.
    """
    return _auroc(*_checked(confidences, answerable))


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """The mean gap between confidence and share of what is right, over ten bins.

    Args:
        confidences: probabilities.
        right: whether what each was given for is true.

    Raises:
        InputError: there is no question of one kind, or not one confidence for each.
    """
    return _error(*_checked(confidences, right))


def confidence_report(
    confidences: Sequence[float], answerable: Sequence[bool], *, seed: int = 0
) -> dict[str, Any]:
    """Both measures with their 95% intervals, by the percentile bootstrap over questions.

    Each kind of question is drawn from by itself: how many there are of each was chosen, not found.
    The error of a resample is a little higher than the sample's, so its interval is on the careful
    side.
    """
    values, truth = _checked(confidences, answerable)
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    drawn = [
        np.concatenate([rng.choice(kind, len(kind)) for kind in kinds]) for _ in range(RESAMPLES)
    ]

    def measured(statistic: Callable[[Floats, NDArray[np.bool_]], float]) -> dict[str, float]:
        resampled = [statistic(values[at], truth[at]) for at in drawn]
        low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found = {"value": statistic(values, truth), "low": float(low), "high": float(high)}
        return {name: round(number, 4) for name, number in found.items()}

    return {
        "answerable": int(truth.sum()),
        "unanswerable": int((~truth).sum()),
        "mean_confidence": round(float(values.mean()), 4),
        "auroc": measured(_auroc),
        "ece": measured(_error),
    }


def _auroc(values: Floats, truth: NDArray[np.bool_]) -> float:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Mean rank of equal values, from 1.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    n = int(truth.sum())
    above = ranks[truth].sum() - n * (n + 1) / 2
    return float(above / (n * (len(truth) - n)))


def _error(values: Floats, truth: NDArray[np.bool_]) -> float:
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=values - truth, minlength=BINS)
    return float(np.abs(gaps).sum() / len(values))


def _checked(values: Sequence[float], truth: Sequence[bool]) -> tuple[Floats, NDArray[np.bool_]]:
    array, kinds = np.asarray(values, dtype=np.float64), np.asarray(truth, dtype=bool)
    if array.shape != kinds.shape or array.ndim != 1 or kinds.all() or not kinds.any():
        raise InputError(
            f"{array.size} confidences and {kinds.size} questions, {int(kinds.sum())} of them "
            "true: expected one confidence each, and questions of both kinds"
        )
    if not ((array >= 0) & (array <= 1)).all():
        raise InputError("a confidence is no probability: expected numbers from 0 to 1")
    return array, kinds
