"""Reciprocal-rank fusion: one ranking out of several whose scores cannot be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from unimoer_rag.errors import InputError

__all__ = ["counted_ranks", "reciprocal_rank_fusion"]


def counted_ranks(ranks: Sequence[int], depth: int | None) -> list[int]:
    """Those of an id's ranks that count (see `reciprocal_rank_fusion`)."""
    if depth is None:
        return list(ranks)
    best = min(ranks)
    return [rank for rank in ranks if rank <= max(depth, best)]


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[tuple[str, float]]], *, k: int = 60, depth: int | None = None
) -> list[tuple[str, float]]:
    """Fuse rankings by the sum of 1 / (k + rank) (Cormack, Clarke and Büttcher 2009).

    Only positions count; the scores inside the rankings do not. The order of the rankings does
    not matter, and ids that tie come by their best rank, then by id.

    Args:
        rankings: lists of (id, score), best first; an id occurs at most once in each.
        k: how much the first places are flattened; 60 in the paper.
        depth: ranks beyond it do not add up: an id that has only such counts by its best. The
            first n of a fusion then stay what they are when rankings that are at least so long,
            and n, grow longer. None adds all up.

    Returns:
        (id, fused score) of every id in any ranking, best first.

    Raises:
        InputError: k is negative, or a ranking holds an id twice.

    >>> [id for id, _ in reciprocal_rank_fusion([[("a", 9.0), ("b", 8.0)], [("b", 0.2)]])]
    ['b', 'a']
    """
    if depth is not None and depth < 1:
        raise InputError(f"depth of reciprocal-rank fusion is {depth}; it must be at least 1")
    if k < 0:
        raise InputError(f"k of reciprocal-rank fusion is {k}; it must be 0 or more (60 is usual)")
    ranks: defaultdict[str, list[int]] = defaultdict(list)
    for number, ranking in enumerate(rankings):
        if len({key for key, _ in ranking}) < len(ranking):
            raise InputError(f"ranking {number} holds an id twice; ids must be distinct")
        for rank, (key, _) in enumerate(ranking, start=1):
            ranks[key].append(rank)
    # fsum rounds once, so the result does not depend on the order of the rankings.
    fused = {
        key: math.fsum(1 / (k + rank) for rank in counted_ranks(found, depth))
        for key, found in ranks.items()
    }
    return sorted(fused.items(), key=lambda item: (-item[1], min(ranks[item[0]]), item[0]))
