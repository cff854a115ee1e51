"""Statistics of studies: against SciPy where it has the test, else by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from unimoer_rag.errors import InputError
from unimoer_rag.lab.studies.stats import (
    bootstrap,
    compare,
    detectable,
    equivalence,
    holm,
    over_seeds,
)


def test_the_interval_over_seeds_is_students() -> None:
    values = [0.61, 0.64, 0.60]
    expected = scipy_stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = over_seeds(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == 3


def test_one_seed_has_no_interval() -> None:
    assert over_seeds([0.5]).low is None


def test_one_seed_is_the_paired_t_test_over_questions() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(0.5, 0.2, (2, 1, 40))
    expected = scipy_stats.ttest_rel(second[0], first[0])
    found = compare(first, second)
    ends = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_seeds_that_differ_as_wholes_are_the_paired_t_test_over_seeds() -> None:
    shifts = np.array([0.02, 0.05, -0.01, 0.03])
    first = np.tile(np.linspace(0, 1, 9), (4, 1))
    found = compare(first, first + shifts[:, None])
    assert found.p == pytest.approx(scipy_stats.ttest_1samp(shifts, 0.0).pvalue)


def test_seeds_that_are_all_alike_are_the_test_over_questions() -> None:
    gaps = np.random.default_rng(3).normal(0.1, 0.3, 30)
    found = compare(np.zeros((3, 30)), np.tile(gaps, (3, 1)))
    # Three repetitions of the same run are no more evidence than one.
    assert found.p == pytest.approx(scipy_stats.ttest_1samp(gaps, 0.0).pvalue)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of_seeds", "of_questions", "rest"),
    [(0.0, 0.3, 0.3), (0.1, 0.1, 0.1), (0.05, 0.3, 0.1), (0.0, 0.0, 0.3)],
)
def test_what_is_not_there_is_rarely_found(
    of_seeds: float, of_questions: float, rest: float
) -> None:
    generator = np.random.default_rng(0)
    n, found = 250, 0
    for _ in range(n):
        gaps = (
            generator.normal(0, of_seeds, (3, 1))
            + generator.normal(0, of_questions, (1, 60))
            + generator.normal(0, rest, (3, 60))
        )
        found += compare(np.zeros_like(gaps), gaps).p < 0.05
    # The rate is at most 0.077; this is the upper end of the binomial 99.9% range around it.
    assert found / n <= 0.14


def test_a_difference_is_found() -> None:
    generator = np.random.default_rng(1)
    first = generator.normal(0.5, 0.1, (3, 100))
    found = compare(first, first + 0.05 + generator.normal(0, 0.05, (3, 100)))
    assert found.p < 0.01
    assert found.low < 0.05 < found.high
    assert found.boot_low < 0.05 < found.boot_high
    assert found.difference == pytest.approx(found.second - found.first)


def test_the_bootstrap_draws_seeds_and_questions() -> None:
    generator = np.random.default_rng(5)
    gaps = generator.normal(0, 1, (4, 50))
    # The same by hand: indices of seeds and of questions, drawn with replacement.
    means = [
        gaps[np.ix_(generator.integers(0, 4, 4), generator.integers(0, 50, 50))].mean()
        for _ in range(4000)
    ]
    assert bootstrap(gaps) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.03)
    assert bootstrap(gaps, seed=1) == bootstrap(gaps, seed=1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_its_definition(values: list[float]) -> None:
    corrected = holm(values)
    order = sorted(range(len(values)), key=lambda i: values[i])
    for rank, at in enumerate(order):
        above = [(len(values) - r) * values[order[r]] for r in range(rank + 1)]
        assert corrected[at] == pytest.approx(min(1.0, max(above)))
    assert all(c >= v for c, v in zip(corrected, values, strict=True))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="the same of both"):
        compare(np.zeros((3, 5)), np.zeros((3, 6)))
    with pytest.raises(InputError, match="at least two questions"):
        compare([[1.0]], [[1.0]])
    with pytest.raises(InputError, match="finite"):
        over_seeds([float("nan")])


def test_equality_is_a_finding_where_both_ends_are_inside_the_margin() -> None:
    """p of two one-sided t-tests, by hand on one seed, where the test is that over questions."""
    generator = np.random.default_rng(1)
    before = generator.uniform(size=400)
    after = before + generator.normal(0.001, 0.02, size=400)
    found = compare([before.tolist()], [after.tolist()])
    gaps = after - before
    error = gaps.std(ddof=1) / 20
    low = scipy_stats.ttest_1samp(gaps, -0.004, alternative="greater").pvalue
    high = scipy_stats.ttest_1samp(gaps, 0.004, alternative="less").pvalue
    assert equivalence(found, 0.004) == pytest.approx(max(low, high), rel=1e-6)
    assert equivalence(found, abs(found.difference) / 2) > 0.5
    # The power of a two-sided test at that true difference is 80%: by the noncentral t.
    true = detectable(found)
    limit = scipy_stats.t.ppf(0.975, 399)
    power = scipy_stats.nct.sf(limit, 399, true / error) + scipy_stats.nct.cdf(
        -limit, 399, true / error
    )
    assert power == pytest.approx(0.8, abs=0.01)
    same = compare([[0.5, 0.6]], [[0.5, 0.6]])
    assert equivalence(same, 0.01) == 0.0
