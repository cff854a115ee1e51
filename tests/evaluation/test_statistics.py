"""Intervals and p-values against scipy, exact distributions and what must hold for all."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation import statistics
from unimoer_rag.evaluation.statistics import compare, interval

scores = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=30)
pairs = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=30).map(
    lambda rows: ([a / 20 for a, _ in rows], [b / 20 for _, b in rows])
)
few: dict[str, Any] = {"resamples": 200, "permutations": 300}


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    # Sums of bootstrap samples of zeros and ones are binomial: the ends are known.
    n, hits = 400, 140
    found = interval([1.0] * hits + [0.0] * (n - hits), resamples=40_000)
    low, high = stats.binom.ppf([0.025, 0.975], n, hits / n) / n
    assert (found.mean, found.n) == (hits / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1 / n)


def test_the_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).beta(0.5, 1.5, 250)
    found = interval(list(values), resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=width / 50)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    draws = np.random.default_rng(5).random((400, 60))
    covered = [
        found.low <= 0.5 <= found.high
        for row in draws
        for found in [interval(list(row), resamples=400)]
    ]
    assert 0.91 <= np.mean(covered) <= 0.98


def test_the_p_value_of_few_questions_by_hand() -> None:
    # Gaps 1, 1, 1: of the 8 ways of signing them, two reach a sum of 3 or -3.
    found = compare([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    assert (found.difference, found.p_value, found.n) == (1.0, 2 / 8, 3)
    assert (found.first, found.second, found.low, found.high) == (0.0, 1.0, 1.0, 1.0)
    # Gaps 2, -1, 0: sums of 1 or more in size come from all of the 8 ways.
    assert compare([0.0, 1.0, 5.0], [2.0, 0.0, 5.0]).p_value == 1.0


@pytest.mark.parametrize("n", [2, 5, 13, 40, 300])
def test_the_p_value_agrees_with_scipy(n: int) -> None:
    generator = np.random.default_rng(n)
    first = generator.random(n)
    second = np.clip(first + generator.normal(0.02, 0.2, n), 0, 1)
    theirs = stats.permutation_test(
        (second, first),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10_000,
        rng=generator,
    ).pvalue
    found = compare(list(first), list(second)).p_value
    assert found == pytest.approx(theirs, abs=1e-12 if n <= 13 else 0.02)


def test_a_p_value_is_small_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    found = [
        compare(list(a), list(b), resamples=1, permutations=500).p_value
        for a, b in generator.random((400, 2, 30))
    ]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.08
    assert min(found) >= 1 / 501  # never 0: the observed order is one of those drawn


@given(scores, st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_intervals_lie_among_the_values(values: list[float], seed: int) -> None:
    found = interval(values, seed=seed, resamples=200)
    assert min(values) - 1e-12 <= found.low <= found.high <= max(values) + 1e-12
    assert found == interval(values, seed=seed, resamples=200)
    moved = interval([3 * value + 1 for value in values], seed=seed, resamples=200)
    assert (moved.mean, moved.low, moved.high) == pytest.approx(
        (3 * found.mean + 1, 3 * found.low + 1, 3 * found.high + 1)
    )


@given(pairs)
@settings(deadline=None, max_examples=50)
def test_a_comparison_turned_round_is_its_mirror(runs: tuple[list[float], list[float]]) -> None:
    first, second = runs
    there, back = compare(first, second, **few), compare(second, first, **few)
    assert (back.difference, back.low, back.high) == pytest.approx(
        (-there.difference, -there.high, -there.low)
    )
    assert there.p_value == back.p_value
    assert 0 < there.p_value <= 1
    assert there.difference == pytest.approx(there.second - there.first)


@given(scores)
@settings(deadline=None, max_examples=25)
def test_a_run_does_not_differ_from_itself(values: list[float]) -> None:
    found = compare(values, values, **few)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = np.random.default_rng(0).random((2, 50))
    whole = compare(list(first), list(second), **few)
    monkeypatch.setattr(statistics, "_CHUNK", 333)
    parts = compare(list(first), list(second), **few)
    assert (parts.low, parts.high) == (whole.low, whole.high)
    assert parts.p_value == pytest.approx(whole.p_value, abs=0.15)


def test_many_questions_stay_small() -> None:
    values = list(np.random.default_rng(0).random(12_000))
    tracemalloc.start()
    assert interval(values).n == 12_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interval([]), r"values of shape \(0,\): expected one finite number"),
        (lambda: interval([float("nan")]), "finite"),
        (lambda: interval([1.0], resamples=0), "resamples is 0: expected at least 1"),
        (lambda: interval([1.0], seed=-1), "seed is -1: expected at least 0"),
        (lambda: compare([1.0], [1.0, 2.0]), "the runs hold 1 and 2 values"),
        (lambda: compare([1.0], [1.0], permutations=0), "permutations is 0"),
    ],
)
def test_what_cannot_be_judged_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
