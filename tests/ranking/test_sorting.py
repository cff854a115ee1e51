"""Heapsort and bubble passes: sorted order for a consistent comparison, and how much is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.oracle import drive

from unimoer_rag.ranking.asking import Answer, Asking, Choose, Prompt
from unimoer_rag.ranking.sorting import bubble_top, bubble_windows, heap_most, heap_top

orders = st.integers(1, 30).flatmap(lambda n: st.permutations(range(n)))


class Groups:
    """Asks once a group; the best is the one of the highest value."""

    def __init__(self, values: Sequence[int]) -> None:
        self.values = values
        self.sizes: list[int] = []

    def __call__(self, items: Sequence[int]) -> Asking[int]:
        self.sizes.append(len(items))
        yield [Choose(Prompt("", ""), ("A", "B"))]
        return max(items, key=lambda item: self.values[item])


def best_first(values: Sequence[int]) -> list[int]:
    return sorted(range(len(values)), key=lambda item: -values[item])


@pytest.mark.slow
@settings(deadline=None)
@given(orders, st.integers(1, 30), st.integers(2, 6))
def test_heapsort_finds_the_best_in_order(values: list[int], k: int, n_children: int) -> None:
    n, groups = len(values), Groups(values)
    found, asked = drive(heap_top(n, k, n_children, groups), lambda _: Answer())
    right = best_first(values)[:k]
    assert found == [*right, *(item for item in range(n) if item not in right)]
    assert max(groups.sizes, default=2) <= n_children + 1
    assert asked <= heap_most(n, k, n_children, lambda size: 1)


@pytest.mark.slow
@settings(deadline=None)
@given(orders, st.integers(1, 30), st.integers(2, 6))
def test_bubble_passes_find_the_best_in_order(values: list[int], k: int, size: int) -> None:
    n, groups = len(values), Groups(values)
    found, asked = drive(bubble_top(n, k, size, groups), lambda _: Answer())
    assert found[:k] == best_first(values)[:k]
    assert sorted(found) == list(range(n))
    assert asked == bubble_windows(n, k, size)
    assert max(groups.sizes, default=2) <= size


@pytest.mark.slow
@settings(deadline=None)
@given(orders, st.integers(1, 30))
def test_whole_passes_over_pairs_find_the_same(values: list[int], k: int) -> None:
    n = len(values)
    found, asked = drive(bubble_top(n, k, 2, Groups(values), whole=True), lambda _: Answer())
    assert found == drive(bubble_top(n, k, 2, Groups(values)), lambda _: Answer())[0]
    assert asked == bubble_windows(n, k, 2, whole=True) == max(n - 1, 0) * min(k, n - 1)


@pytest.mark.parametrize("n_children", [2, 3, 9])
def test_the_most_is_met_where_every_node_sinks_to_the_deepest_leaf(n_children: int) -> None:
    n = n_children + 1  # one node over its children: it is asked about once, or again for the rest
    most = heap_most(n, 1, n_children, lambda size: 1)
    assert most == 1
    _, asked = drive(heap_top(n, 1, n_children, Groups(range(n))), lambda _: Answer())
    assert asked == most
    # Ascending values sink every node of three levels of two.
    _, asked = drive(heap_top(7, 1, 2, Groups(range(7))), lambda _: Answer())
    assert asked == heap_most(7, 1, 2, lambda size: 1) == 4


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(2, 200), st.integers(1, 20))
def test_heapsort_costs_n_and_k_log_n(n: int, k: int) -> None:
    """O(N + k log N) comparisons, with the constants of Floyd's heap: 2n and 2k log2 n."""
    comparisons = heap_most(n, k, 2, lambda size: size - 1)
    assert comparisons <= 2 * n + 2 * k * math.log2(n)


def test_passes_by_hand() -> None:
    assert bubble_windows(100, 10, 2, whole=True) == 10 * 99
    assert bubble_windows(100, 10, 2) == 99 + 98 + 97 + 96 + 95 + 94 + 93 + 92 + 91 + 90
    assert bubble_windows(100, 2, 3) == 50 + 49
    assert bubble_windows(4, 10, 3) == 2 + 1 + 1  # in order after three passes
    assert bubble_windows(1, 10, 2) == bubble_windows(0, 10, 2) == 0
