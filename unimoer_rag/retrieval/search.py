"""One search in three steps: plan it, find passages, rank them.

Between the steps a model runs; whether its caller blocks or awaits meanwhile is the retriever's
business, so `search` and `asearch` share everything here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.auto_rerank import AUTO, AutoRerank, rerank_depth
from unimoer_rag.retrieval.fusion import counted_ranks, reciprocal_rank_fusion
from unimoer_rag.retrieval.metadata import clean
from unimoer_rag.retrieval.reranker import best_first
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Found, Store
from unimoer_rag.retrieval.text import clean_text, legible_text
from unimoer_rag.retrieval.types import Hit, Mode

__all__ = ["Filters", "Mode", "Search", "check_settings", "reordered"]

Filters = Mapping[str, Any]
Floats = NDArray[np.float32]

# First places of both rankings that are fused, however few hits are asked for: the first of many
# hits are then those of a search for few.
_FUSED = 100

# Queries searched for together: enough to fill batches, few enough that their passages and token
# states fit in memory.
_BLOCK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Queries that are searched for together, and how.

    Attributes:
        queries: what to look for.
        k: hits to give for each.
        depth: first-stage results to rerank, at least k; 0 for none.
        mode: first stage.
        filters: conditions on passages.
        auto: which queries to rerank; None for all.
    """

    queries: Sequence[str]
    k: int
    depth: int
    mode: Mode
    filters: Filters | None
    auto: AutoRerank | None = None

    @classmethod
    def plan(
        cls,
        queries: Sequence[str],
        *,
        k: int,
        rerank: int | AutoRerank,
        mode: Mode,
        filters: Filters | None,
    ) -> Search:
        """The search for some queries, once everything about it can be used."""
        check_settings(k, rerank, mode)
        auto = rerank if isinstance(rerank, AutoRerank) else None
        cleaned = [legible_text(clean_text(query)) for query in queries]
        for at, query in enumerate(cleaned):
            if not query.strip():
                named = "the query" if len(cleaned) == 1 else f"query {at}"
                raise InputError(f"{named} is empty: give words to look for")
        depth = max(rerank_depth(rerank), k) if rerank else 0
        return cls(queries=cleaned, k=k, depth=depth, mode=mode, filters=clean(filters), auto=auto)

    def blocks(self, size: int = _BLOCK) -> Iterator[Search]:
        """The same search, for at most `size` queries at a time."""
        for start in range(0, len(self.queries), size):
            yield replace(self, queries=self.queries[start : start + size])

    @property
    def embedded(self) -> Sequence[str]:
        """The queries that need vectors; none in a search by words."""
        return self.queries if self.mode != "sparse" else []

    def find(self, vectors: Floats, store: Store, encoder: BM25Encoder) -> list[list[Hit]]:
        """The first stage's results for each query, best first."""
        limit = max(self.k, self.depth)
        if self.mode == "hybrid":
            limit = max(limit, _FUSED)
        dense: list[list[Found]] = [[] for _ in self.queries]
        sparse = dense
        if self.mode != "sparse":
            dense = store.search_dense(vectors, limit=limit, filters=self.filters)
        if self.mode != "dense":
            encoded = [encoder.query(query) for query in self.queries]
            sparse = store.search_sparse(encoded, limit=limit, filters=self.filters)
        if self.mode == "dense":
            return [[Hit(f.passage, dense=f.score) for f in found] for found in dense]
        if self.mode == "sparse":
            return [[Hit(f.passage, sparse=f.score) for f in found] for found in sparse]
        wanted = max(self.k, self.depth)
        return [_fuse(d, s)[:wanted] for d, s in zip(dense, sparse, strict=True)]

    def reranks(self, hits: Sequence[Hit]) -> bool:
        """Whether a query that found these is to be reranked."""
        if not hits or not self.depth:
            return False
        return self.auto is None or not self.auto.skips(hits, self.mode)

    def asked(self, found: Sequence[Sequence[Hit]]) -> list[tuple[str, Sequence[Hit]]]:
        """The queries to rank for, with what was found for them."""
        pairs = zip(self.queries, found, strict=True)
        return [(query, hits) for query, hits in pairs if self.reranks(hits)]

    def rank(self, found: Sequence[Sequence[Hit]], scores: Sequence[Floats]) -> list[list[Hit]]:
        """The hits of each query, best first, by the scores of those in `asked`."""
        left = iter(scores)
        ranked = (reordered(hits, next(left)) if self.reranks(hits) else hits for hits in found)
        return [list(hits[: self.k]) for hits in ranked]


def reordered(hits: Sequence[Hit], scores: Floats) -> list[Hit]:
    """Hits best first by their scores, each with its own."""
    return [replace(hits[at], rerank=float(scores[at])) for at in best_first(scores)]


def _fuse(dense: Sequence[Found], sparse: Sequence[Found]) -> list[Hit]:
    """Both rankings fused by rank, every hit with the scores that count."""
    passages = {f.passage.id: f.passage for f in (*dense, *sparse)}
    rankings = [[(f.passage.id, f.score) for f in found] for found in (dense, sparse)]
    places = [
        {key: (rank, score) for rank, (key, score) in enumerate(ranking, start=1)}
        for ranking in rankings
    ]

    def hit(key: str, fused: float) -> Hit:
        found = [place[key] for place in places if key in place]
        counted = counted_ranks([rank for rank, _ in found], _FUSED)
        cosine, bm25 = (
            score if rank in counted else None
            for rank, score in (place.get(key, (0, None)) for place in places)
        )
        return Hit(passages[key], dense=cosine, sparse=bm25, fused=fused)

    return [hit(*fused) for fused in reciprocal_rank_fusion(rankings, depth=_FUSED)]


def check_settings(k: object, rerank: object, mode: object) -> None:
    """Refuse numbers of hits and modes that no search can have.

    Raises:
        InputError: names the setting, its value and what is expected.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InputError(f"k is {k!r}: expected a whole number of hits, at least 1")
    if mode not in get_args(Mode):
        raise InputError(f"unknown mode {mode!r}: expected one of {', '.join(get_args(Mode))}")
    if isinstance(rerank, AutoRerank):
        rerank.threshold(cast("Mode", mode))
    elif isinstance(rerank, bool) or not isinstance(rerank, int) or rerank < 0:
        raise InputError(
            f"rerank is {rerank!r}: expected a number of results to rerank, 0, or {AUTO!r}"
        )
