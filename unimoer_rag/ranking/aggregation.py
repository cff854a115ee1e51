"""One order out of several of the same items: Borda, reciprocal rank fusion, Kemeny."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["AGGREGATES", "borda", "kemeny", "kendall_distance", "reciprocal_rank"]

_EXACT = 10  # items of which all subsets are looked at
_RRF = 60


def borda(orders: Sequence[Sequence[int]]) -> list[int]:
    """By the sum of places; equal items by their number.

    >>> borda([[2, 0, 1], [2, 1, 0]])
    [2, 0, 1]
    """
    return _by_points(orders, lambda place: -place)


def reciprocal_rank(orders: Sequence[Sequence[int]]) -> list[int]:
    """By the sum of 1 / (60 + place), places from 1 (Cormack et al., SIGIR 2009)."""
    return _by_points(orders, lambda place: 1 / (_RRF + place))


def _by_points(orders: Sequence[Sequence[int]], points: Callable[[int], float]) -> list[int]:
    total = [0.0] * len(orders[0])
    for order in orders:
        for place, item in enumerate(order, 1):
            total[item] += points(place)
    # Rounded: sums in another sequence are equal points.
    return sorted(range(len(total)), key=lambda item: (-round(total[item], 9), item))


def kemeny(orders: Sequence[Sequence[int]]) -> list[int]:
    """The order with the least sum of Kendall's distances to the others.

    Of up to 10 items it is the least of all, and of several that are the first in sequence. Of more
    it is where moving no single item brings it closer, begun at the closest of Borda's order and
    the given ones.
    """
    against = _against(orders)
    if len(against) <= _EXACT:
        return _least(against)
    begun = min([borda(orders), *map(list, orders)], key=lambda order: _cost(order, against))
    return _moved(begun, against)


def kendall_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Pairs that two orders of the same items put differently."""
    return int(_cost(one, _against([other])))


def _against(orders: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """How many orders say otherwise where an item stands before another, [item, other]."""
    n = len(orders[0])
    places = np.empty((len(orders), n), np.int64)
    for at, order in enumerate(orders):
        places[at, list(order)] = np.arange(n)
    later = places[:, :, None] > places[:, None, :]
    counts: NDArray[np.int64] = np.count_nonzero(later, axis=0)
    return counts


def _cost(order: Sequence[int], against: NDArray[np.int64]) -> int:
    at = list(order)
    return int(np.triu(against[np.ix_(at, at)], 1).sum())


def _least(against: NDArray[np.int64]) -> list[int]:
    """By the best order of each subset, as a suffix: least cost, then the first in sequence."""
    n = len(against)
    rows = against.tolist()
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
    for subset in range(1, 1 << n):
        items = [item for item in range(n) if subset >> item & 1]
        best[subset] = min(
            (sum(rows[first][other] for other in items) + cost, [first, *rest])
            for first in items
            for cost, rest in (best[subset & ~(1 << first)],)
        )
    return best[(1 << n) - 1][1]


def _moved(order: list[int], against: NDArray[np.int64]) -> list[int]:
    """Moves single items as long as that brings the order closer."""
    cost = _cost(order, against)
    while True:
        tried = (_put(order, item, place) for item in order for place in range(len(order)))
        closest = min(tried, key=lambda one: _cost(one, against))
        least = _cost(closest, against)
        if least >= cost:
            return order
        order, cost = closest, least


def _put(order: Sequence[int], item: int, place: int) -> list[int]:
    rest = [other for other in order if other != item]
    return [*rest[:place], item, *rest[place:]]


AGGREGATES: Mapping[str, Callable[[Sequence[Sequence[int]]], list[int]]] = {
    "kemeny": kemeny,
    "rrf": reciprocal_rank,
    "borda": borda,
}
"""Ways to aggregate, by name."""
