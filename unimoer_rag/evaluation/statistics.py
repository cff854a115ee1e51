"""How far a mean over questions can be trusted, and whether two runs differ.

- **Intervals**: the percentile bootstrap over questions (Efron, "Bootstrap Methods: Another Look at
  the Jackknife", 1979; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13).
- **p-values**: the paired randomisation test, two-sided (Fisher; Smucker, Allan and Carterette, "A
  Comparison of Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007).
  Were the runs alike, each question's two values could as well be swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError

__all__ = ["LEVEL", "PERMUTATIONS", "RESAMPLES", "Difference", "Interval", "compare", "interval"]

LEVEL = 0.95
"""Share of the resampled means that an interval covers."""

RESAMPLES = 2_000
"""Bootstrap samples behind an interval."""

PERMUTATIONS = 10_000
"""Ways of swapping that a p-value is taken over, where there are too many to try all."""

# Values drawn at once, 8 bytes each: few enough to stay in tens of megabytes.
_CHUNK = 2**20

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% interval.

    Attributes:
        mean: over the questions.
        low: lower end.
        high: upper end.
        n: questions.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The second run minus the first, over the same questions.

    Attributes:
        first: mean of the first run.
        second: mean of the second run.
        difference: second minus first.
        low: lower end of its 95% interval.
        high: upper end.
        p_value: two-sided; how often chance alone gives a difference at least as large.
        n: questions.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    n: int


def interval(values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of a measure over questions, with its percentile bootstrap interval.

    Args:
        values: one for each question.
        seed: of the resampling; the same seed gives the same interval.
        resamples: bootstrap samples.

    Raises:
        InputError: there are no values, one is not finite, or a number is too small.

    Example:
        >>> interval([1.0, 1.0, 1.0])
        Interval(mean=1.0, low=1.0, high=1.0, n=3)
    """
    array = _checked(values, "values")
    means = _bootstrap(array, _at_least(1, resamples, "resamples"), _generator(seed))
    low, high = _ends(means)
    return Interval(mean=float(array.mean()), low=low, high=high, n=len(array))


def compare(
    first: Sequence[float],
    second: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
) -> Difference:
    """Two runs on the same questions: their difference, its interval and its p-value.

    All ways of swapping are tried where `permutations` allows, which makes the p-value exact;
    otherwise so many are drawn, and the one that was observed counts among them.

    Args:
        first: one value for each question.
        second: the other run's, in the same order.
        seed: of the resampling.
        resamples: bootstrap samples behind the interval.
        permutations: ways of swapping behind the p-value.

    Raises:
        InputError: the runs differ in length or are empty, a value is not finite, or a number is
            too small.
    """
    before, after = _checked(first, "first"), _checked(second, "second")
    if len(before) != len(after):
        raise InputError(
            f"the runs hold {len(before)} and {len(after)} values: expected one of each question "
            "in both, in the same order"
        )
    gaps = after - before
    means = _bootstrap(gaps, _at_least(1, resamples, "resamples"), _generator(seed))
    low, high = _ends(means)
    return Difference(
        first=float(before.mean()),
        second=float(after.mean()),
        difference=float(gaps.mean()),
        low=low,
        high=high,
        p_value=_p_value(gaps, _at_least(1, permutations, "permutations"), _generator(seed)),
        n=len(gaps),
    )


def _bootstrap(values: _Values, resamples: int, generator: np.random.Generator) -> _Values:
    """Means of samples of the same size, drawn with replacement."""
    n = len(values)

    def sampled(rows: range) -> _Values:
        means: _Values = values[generator.integers(0, n, (len(rows), n))].mean(axis=1)
        return means

    return _in_chunks(resamples, n, sampled)


def _p_value(gaps: _Values, permutations: int, generator: np.random.Generator) -> float:
    n = len(gaps)
    exact = n < permutations.bit_length()  # 2^n ways at most as many as are allowed

    def swapped(rows: range) -> _Values:
        if exact:
            bits = (np.asarray(rows)[:, None] >> np.arange(n)) & 1
        else:
            bits = generator.integers(0, 2, (len(rows), n), dtype=np.int8)
        # A swap turns a gap's sign: the sum loses it twice.
        sums: _Values = gaps.sum() - 2 * (bits @ gaps)
        return sums

    sums = _in_chunks(2**n if exact else permutations, n, swapped)
    # Equal sums differ in their last digits when added up in another order.
    rounding = 1e-9 * np.abs(gaps).sum()
    extreme = int((np.abs(sums) >= abs(gaps.sum()) - rounding).sum())
    return extreme / len(sums) if exact else (extreme + 1) / (len(sums) + 1)


def _in_chunks(rows: int, width: int, work: Callable[[range], _Values]) -> _Values:
    size = max(1, _CHUNK // width)
    return np.concatenate([work(range(rows)[at : at + size]) for at in range(0, rows, size)])


def _ends(means: _Values) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _checked(values: Sequence[float], name: str) -> _Values:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise InputError(
            f"{name} of shape {array.shape}: expected one finite number for each question, and at "
            "least one question"
        )
    return array


def _at_least(least: int, number: int, name: str) -> int:
    if number < least:
        raise InputError(f"{name} is {number}: expected at least {least}")
    return number


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(_at_least(0, seed, "seed"))
