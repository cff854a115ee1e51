"""Reciprocal-rank fusion: one ranking out of several whose scores cannot be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from unimoer_rag.errors import InputError

__all__ = ["reciprocal_rank_fusion"]


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[tuple[str, float]]], *, k: int = 60
) -> list[tuple[str, float]]:
    """Fuse rankings by the sum of 1 / (k + rank) (Cormack, Clarke and Büttcher 2009).

    Only positions count; the scores inside the rankings do not. The order of the rankings does
    not matter, and ids that tie come by their best rank, then by id.

    Args:
        rankings: lists of (id, score), best first; an id occurs at most once in each.
        k: how much the first places are flattened; 60 in the paper.

    Returns:
        (id, fused score) of every id in any ranking, best first.

    Raises:
        InputError: k is negative, or a ranking holds an id twice.

    >>> [id for id, _ in reciprocal_rank_fusion([[("a", 9.0), ("b", 8.0)], [("b", 0.2)]])]
    ['b', 'a']
    """
    if k < 0:
        raise InputError(f"k of reciprocal-rank fusion is {k}; it must be 0 or more (60 is usual)")
    ranks: defaultdict[str, list[int]] = defaultdict(list)
    for number, ranking in enumerate(rankings):
        if len({key for key, _ in ranking}) < len(ranking):
            raise InputError(f"ranking {number} holds an id twice; ids must be distinct")
        for rank, (key, _) in enumerate(ranking, start=1):
            ranks[key].append(rank)
    # fsum rounds once, so the result does not depend on the order of the rankings.
    fused = {key: math.fsum(1 / (k + rank) for rank in found) for key, found in ranks.items()}
    return sorted(fused.items(), key=lambda item: (-item[1], min(ranks[item[0]]), item[0]))
