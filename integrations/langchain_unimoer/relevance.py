"""One scale for the scores of all stages: relevance in [0, 1]."""

from __future__ import annotations

import math
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import types

__all__ = ["check_threshold", "relevance"]

# Fused by rank: 1 / (60 + rank) of either ranking, so this is the most that there is.
_BEST_FUSED = 2 / 61


def relevance(hit: types.Hit) -> float:
    """How relevant a hit is, in [0, 1], by the last stage that ran.

    | stage | relevance |
    |---|---|
    | reranked | the reranker's probability |
    | hybrid | the share of the best fused score that there is, that of two first places |
    | dense | the cosine, brought from [-1, 1] to [0, 1] |
    | sparse | score / (score + 1), as BM25 has no greatest score |
    """
    if hit.rerank is not None:
        return hit.rerank
    if hit.fused is not None:
        return min(hit.fused / _BEST_FUSED, 1.0)
    if hit.dense is not None:
        return min(max((hit.dense + 1) / 2, 0.0), 1.0)
    score = max(hit.sparse or 0.0, 0.0)
    return score / (score + 1)


def check_threshold(threshold: Any) -> None:
    """Refuse what no relevance can be compared with.

    Raises:
        InputError: it is no number in [0, 1].
    """
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not number or math.isnan(threshold) or not 0 <= threshold <= 1:
        raise InputError(f"score_threshold is {threshold!r}: expected a number from 0 to 1")
