"""Aggregation: by hand, and Kemeny's order by looking at every permutation."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimoer_rag.ranking.aggregation import (
    AGGREGATES,
    borda,
    kemeny,
    kendall_distance,
    reciprocal_rank,
)

votes = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.permutations(range(n)), min_size=1, max_size=5)
)


def distance(one: list[int], other: list[int]) -> int:
    """Pairs in another order, counted one by one."""
    return sum(
        (one.index(a) < one.index(b)) != (other.index(a) < other.index(b))
        for a, b in combinations(one, 2)
    )


def test_by_hand() -> None:
    # Places of 0: 1, 1, 4. Of 1: 2, 2, 1. Of 2: 3, 4, 2. Of 3: 4, 3, 3.
    orders = [[0, 1, 2, 3], [0, 1, 3, 2], [1, 2, 3, 0]]
    assert borda(orders) == [1, 0, 2, 3]  # sums of places 5, 6, 9, 10
    assert reciprocal_rank(orders) == [1, 0, 2, 3]
    assert kemeny(orders) == [0, 1, 2, 3]  # distances 0, 1, 3; [1, 0, 2, 3] has 1, 2, 2


def test_reciprocal_rank_prefers_a_first_place_to_two_middling_ones() -> None:
    orders = [[1, 0, 2], [2, 0, 1]]
    assert 2 / 62 < 1 / 61 + 1 / 63
    assert reciprocal_rank(orders) == [1, 2, 0]
    assert borda(orders) == [0, 1, 2]  # all sums are 4


@pytest.mark.slow
@settings(deadline=None)
@given(votes)
def test_kemeny_is_the_closest_of_all(orders: list[list[int]]) -> None:
    def total(order: list[int]) -> int:
        return sum(distance(order, other) for other in orders)

    every = [list(one) for one in permutations(range(len(orders[0])))]
    assert kemeny(orders) == min(every, key=lambda one: (total(one), one))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.permutations(range(13)), min_size=1, max_size=4))
def test_kemeny_of_many_is_a_local_best(orders: list[list[int]]) -> None:
    def total(order: list[int]) -> int:
        return sum(kendall_distance(order, other) for other in orders)

    found = kemeny(orders)
    assert sorted(found) == list(range(13))
    assert total(found) <= min(total(borda(orders)), *map(total, orders), 10**6)
    swapped = [[*found[:at], found[at + 1], found[at], *found[at + 2 :]] for at in range(12)]
    assert total(found) <= min(map(total, swapped))


@pytest.mark.parametrize("name", list(AGGREGATES))
@pytest.mark.parametrize("n", [1, 4, 12])
def test_what_all_agree_on_stays(name: str, n: int) -> None:
    order = [(5 * item + 2) % n if n in (4, 12) else item for item in range(n)]
    assert AGGREGATES[name]([order] * 3) == order


@settings(deadline=None)
@given(st.permutations(range(6)), st.permutations(range(6)))
def test_distance(one: list[int], other: list[int]) -> None:
    assert kendall_distance(one, other) == distance(one, other)
