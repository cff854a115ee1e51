"""Reranking of texts that something else retrieved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.steps import Steps, apart, arun, either, run

if TYPE_CHECKING:  # it imports torch, which an index that is searched by vectors does without
    from unimoer_rag.engine import Engine
    from unimoer_rag.retrieval.ports import Ranks

__all__ = ["Ranked", "Reranker", "best_first", "check_top_n", "in_order", "visible_at"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One text in its new place.

    Attributes:
        index: where it stood in the list that was given.
        score: its relevance in [0, 1].
    """

    index: int
    score: float


class Reranker:
    """Orders texts by their relevance for a query, as `UnifiedRetriever` orders what it finds.

    A text without a visible character is not relevant to anything: its score is 0.

    Args:
        ranks: an engine, which runs the RERANK task, or whatever else ranks; without an `arank`, a
            thread does it for an event loop.
    """

    def __init__(self, ranks: Engine | Ranks) -> None:
        self._ranks = ranks

    def rank(self, query: str, texts: Sequence[str], *, top_n: int | None = None) -> list[Ranked]:
        """The texts' positions and scores, best first; the best `top_n` where that is given.

        Raises:
            InputError: the query is empty, a text is no string, or `top_n` is below 1.
        """
        return run(self._rank(query, texts, top_n))

    async def arank(
        self, query: str, texts: Sequence[str], *, top_n: int | None = None
    ) -> list[Ranked]:
        """`rank` without blocking the event loop."""
        return await arun(self._rank(query, texts, top_n))

    def _rank(self, query: str, texts: Sequence[str], top_n: int | None) -> Steps[list[Ranked]]:
        check_top_n(top_n)
        visible = visible_at(texts)
        shown = [texts[at] for at in visible]
        scores = yield from self._scores(query, shown)
        return in_order(len(texts), visible, scores)[:top_n]

    def _scores(self, query: str, texts: Sequence[str]) -> Steps[NDArray[np.float32]]:
        rank, arank = self._ranks.rank, getattr(self._ranks, "arank", None)
        return apart(rank, query, texts) if arank is None else either(rank, arank, query, texts)


def visible_at(texts: Sequence[str]) -> list[int]:
    """Positions of the texts that have a visible character; what is no text is refused later."""
    return [at for at, text in enumerate(texts) if not isinstance(text, str) or text.strip()]


def in_order(n: int, visible: Sequence[int], scores: NDArray[np.float32]) -> list[Ranked]:
    """All of n texts, best first: those at the visible positions by their scores, others at 0."""
    all_scores = np.zeros(n, dtype=np.float32)
    all_scores[list(visible)] = scores
    return [Ranked(at, float(all_scores[at])) for at in best_first(all_scores)]


def best_first(scores: NDArray[np.float32]) -> list[int]:
    """Positions by falling score; what the scores cannot tell apart keeps its order."""
    return [int(at) for at in np.argsort(-scores, kind="stable")]


def check_top_n(top_n: int | None) -> None:
    """Refuse a number of texts to keep that no list can have.

    Raises:
        InputError: it is no whole number from 1 up.
    """
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 1):
        raise InputError(f"top_n is {top_n!r}: expected how many to keep, 1 or more, or None")
