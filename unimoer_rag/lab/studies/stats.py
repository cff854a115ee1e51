"""How sure a study can be: runs differ by seed and questions by difficulty, and both are samples.

- **Over seeds**: the mean and its Student t interval.
- **Over seeds and questions**: two variants' values are paired by both, `d[seed, question]`. Their
  mean difference is tested as in studies with several readers and cases, readers and cases both
  random (Dorfman, Berbaum and Metz, "Receiver operating characteristic rating analysis", 1992; the
  degrees of freedom are those of Hillis, "A comparison of denominator degrees of freedom methods
  for multiple observer ROC analysis", 2007). Here a seed is the reader. Simulated
  with three seeds of any share in the variance, it finds what is not there at most 8 times in 100.
- **Bootstrap** of the same: seeds and questions both drawn anew (Owen, "The pigeonhole bootstrap",
  2007). It is told beside the test, and never decides: with three seeds it is too sure.
- **No difference** is a finding where two one-sided tests say so (`equivalence`), and what a study
  could have found is told beside it (`detectable`).
- **Many comparisons**: Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.extras import needs_extra

__all__ = [
    "LEVEL",
    "Difference",
    "Mean",
    "bootstrap",
    "compare",
    "detectable",
    "equivalence",
    "holm",
    "over_seeds",
]

LEVEL = 0.95
"""Share of the repetitions of a study whose interval would cover the truth."""

POWER = 0.8
"""How often a study would find the smallest difference that it counts as detectable."""

RESAMPLES = 2_000

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds; the interval's ends are None where one seed alone was run."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The second variant minus the first, over the same seeds and questions.

    Attributes:
        first: mean of the first variant.
        second: mean of the second.
        difference: second minus first.
        low: lower end of its 95% interval.
        high: upper end.
        p: two-sided p-value of no difference.
        boot_low: lower end of the bootstrap's interval.
        boot_high: upper end.
        seeds: how many.
        questions: how many.
        error: standard error of the difference.
        freedom: its degrees of freedom.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    boot_low: float
    boot_high: float
    seeds: int
    questions: int
    error: float
    freedom: float


def over_seeds(values: Sequence[float]) -> Mean:
    """Mean of one value a seed, with its Student t interval.

    Raises:
        InputError: there is no value, or one is not finite.
        MissingExtraError: SciPy is not installed.
    """
    array = _checked(values, 1)
    mean, n = float(array.mean()), len(array)
    if n == 1:
        return Mean(mean, None, None, 1)
    half = _t_quantile(n - 1) * float(array.std(ddof=1)) / sqrt(n)
    return Mean(mean, mean - half, mean + half, n)


def compare(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], *, seed: int = 0
) -> Difference:
    """Two variants on the same seeds and questions.

    The variance of the mean difference has a part of the seeds and one of the questions; the
    degrees of freedom follow from which of them is the larger. One seed says nothing of seeds: then
    the test is the paired t-test over questions, and speaks of that one run alone.

    Args:
        first: `[seeds, questions]`, what is compared to.
        second: the other's values, in the same order.
        seed: of the bootstrap.

    Raises:
        InputError: the shapes differ, there are fewer than two questions, or a value is not finite.
        MissingExtraError: SciPy is not installed.
    """
    before, after = _checked(first, 2), _checked(second, 2)
    if before.shape != after.shape or before.shape[1] < 2:
        raise InputError(
            f"variants of {before.shape} and {after.shape} seeds and questions: expected the same "
            "of both, and at least two questions"
        )
    gaps = after - before
    mean = float(gaps.mean())
    error, freedom = _standard_error(gaps)
    half = _t_quantile(freedom) * error
    low, high = bootstrap(gaps, seed=seed)
    return Difference(
        first=float(before.mean()),
        second=float(after.mean()),
        difference=mean,
        low=mean - half,
        high=mean + half,
        p=_two_sided(mean, error, freedom),
        boot_low=low,
        boot_high=high,
        seeds=gaps.shape[0],
        questions=gaps.shape[1],
        error=error,
        freedom=freedom,
    )


def equivalence(found: Difference, margin: float) -> float:
    """p-value of "the difference is as large as the margin": below 0.05, the two are equal in it.

    Two one-sided tests (Schuirmann, "A comparison of the two one-sided tests procedure and the
    power approach for assessing the equivalence of average bioavailability", 1987).

    Args:
        found: of `compare`.
        margin: the largest difference, either way, that does not matter; above 0.
    """
    room = margin - abs(found.difference)
    if found.error == 0.0:
        return 0.0 if room > 0 else 1.0
    with needs_extra("scipy", "studies", "statistics of a study"):
        from scipy.stats import t
    return float(t.sf(room / found.error, found.freedom))


def detectable(found: Difference) -> float:
    """The smallest difference that the test would find in `POWER` of the studies like this one.

    By the variance that was seen: `(t of 97.5% + t of the power) * error`.
    """
    with needs_extra("scipy", "studies", "statistics of a study"):
        from scipy.stats import t
    least = _t_quantile(found.freedom) + float(t.ppf(POWER, found.freedom))
    return least * found.error


def bootstrap(gaps: Sequence[Sequence[float]] | _Values, *, seed: int = 0) -> tuple[float, float]:
    """Ends of the percentile interval of a mean over seeds and questions, both drawn anew.

    Args:
        gaps: `[seeds, questions]`.
        seed: of the drawing.
    """
    array = _checked(gaps, 2)
    seeds, questions = array.shape
    generator = np.random.default_rng(seed)
    # How often each seed and each question is drawn; the mean of a sample is bilinear in both.
    rows = generator.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
    columns = generator.multinomial(questions, np.full(questions, 1 / questions), RESAMPLES)
    means = ((rows @ array) * columns).sum(axis=1) / array.size
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being tried together: below 0.05 holds for the whole family.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = largest
    return corrected


def _standard_error(gaps: _Values) -> tuple[float, float]:
    """Standard error of the mean of `[seeds, questions]`, and its degrees of freedom."""
    seeds, questions = gaps.shape
    by_question = gaps.mean(axis=0)
    of_questions = seeds * float(by_question.var(ddof=1))  # mean squares of a two-way layout
    if seeds == 1:
        return sqrt(of_questions / gaps.size), questions - 1.0
    by_seed = gaps.mean(axis=1)
    of_seeds = questions * float(by_seed.var(ddof=1))
    rest = gaps - by_question - by_seed[:, None] + gaps.mean()
    of_rest = float((rest**2).sum()) / ((seeds - 1) * (questions - 1))
    above = max(of_questions - of_rest, 0.0)
    # Seeds cannot differ less than chance lets them; where they seem to, they were lucky.
    of_seeds = max(of_seeds, of_rest)
    total = of_seeds + above
    if of_seeds <= 1e-12 * total:  # every seed gave the same mean, as a frozen model does
        return sqrt(total / gaps.size), questions - 1.0
    freedom = total**2 / (of_seeds**2 / (seeds - 1))
    return sqrt(total / gaps.size), min(freedom, seeds * questions - 1.0)


def _t_quantile(freedom: float) -> float:
    with needs_extra("scipy", "studies", "statistics of a study"):
        from scipy.stats import t
    return float(t.ppf((1 + LEVEL) / 2, freedom))


def _two_sided(mean: float, error: float, freedom: float) -> float:
    if mean == 0.0:
        return 1.0
    if error == 0.0:
        return 0.0
    with needs_extra("scipy", "studies", "statistics of a study"):
        from scipy.stats import t
    return float(2 * t.sf(abs(mean) / error, freedom))


def _checked(values: object, dimensions: int) -> _Values:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or not array.size or not np.isfinite(array).all():
        raise InputError(
            f"values of shape {array.shape}: expected {dimensions} dimensions of finite numbers, "
            "none of them empty"
        )
    return array
