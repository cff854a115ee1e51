"""Sorting by a comparison that has to be asked for: heapsort and bubble passes over groups.

Both find the best k of n items that stand in the order of the first ranking; what is best of a
group of c is one question, of pairs or of sets. Items are their positions in the first ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unimoer_rag.ranking.asking import Asking

__all__ = ["Best", "bubble_top", "bubble_windows", "heap_most", "heap_top"]

Best = Callable[[Sequence[int]], Asking[int]]
"""The best item of a group."""


def heap_top(n: int, k: int, n_children: int, best: Best) -> Asking[list[int]]:
    """All items, the best k by heapsort first and the rest behind them in their order.

    A heap of n items is built, and given up after its k-th best.

    Args:
        n: items.
        k: that are wanted.
        n_children: of a node.
        best: asks; its groups are a node with its children.
    """
    heap = list(range(n))

    def sift(at: int) -> Asking[None]:
        while group := _with_children(at, n_children, len(heap)):
            winner = yield from best([heap[place] for place in group])
            place = heap.index(winner)
            if place == at:
                return
            heap[at], heap[place] = heap[place], heap[at]
            at = place

    for at in reversed(range(n)):
        yield from sift(at)
    top: list[int] = []
    while heap and len(top) < k:
        top.append(heap[0])
        last = heap.pop()
        if heap and len(top) < k:
            heap[0] = last
            yield from sift(0)
    taken = set(top)
    return [*top, *(item for item in range(n) if item not in taken)]


def heap_most(n: int, k: int, n_children: int, weight: Callable[[int], int]) -> int:
    """What `heap_top` asks at most, where a group of c items costs `weight(c)`.

    A node sinks to the deepest leaf below it: every node once while the heap is built, then the
    root of each smaller heap.
    """
    building = sum(_sinking(n, n_children, weight))
    return building + sum(_sinking(n - gone, n_children, weight)[0] for gone in range(1, min(k, n)))


def _sinking(size: int, n_children: int, weight: Callable[[int], int]) -> list[int]:
    """What it costs at most to let each node of a heap sink."""
    costs = [0] * size
    for at in reversed(range(size)):
        if group := _with_children(at, n_children, size):
            costs[at] = weight(len(group)) + max(costs[child] for child in group[1:])
    return costs


def _with_children(at: int, n_children: int, size: int) -> list[int]:
    """A node and its children; nothing for a leaf."""
    first = n_children * at + 1
    return [at, *range(first, min(first + n_children, size))] if first < size else []


def bubble_top(n: int, k: int, size: int, best: Best, *, whole: bool = False) -> Asking[list[int]]:
    """All items, the best k first: k passes from the bottom up.

    In each, windows of `size` overlap by one item; the best of a window moves to its front, and is
    the last of the next.

    Args:
        n: items.
        k: passes, n - 1 at most, after which all are in order.
        size: of a window.
        best: asks.
        whole: a pass goes over all items; else it ends below those that passes have put first.
    """
    order = list(range(n))
    for done in range(min(k, n - 1)):
        top, end = 0 if whole else done, n
        while end > top + 1:
            start = max(top, end - size)
            winner = yield from best(order[start:end])
            order.remove(winner)
            order.insert(start, winner)
            end = start + 1
    return order


def bubble_windows(n: int, k: int, size: int, *, whole: bool = False) -> int:
    """Windows that `bubble_top` asks about: ceil((items - 1) / (size - 1)) a pass."""
    passes = range(min(k, n - 1))
    return sum(-(-(n - 1 - (0 if whole else done)) // (size - 1)) for done in passes)
