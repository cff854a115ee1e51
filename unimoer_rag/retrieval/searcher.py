"""Planned searches by steps: query cache, model, store, reranking."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import UnimoerWarning
from unimoer_rag.retrieval.missing_fields import missing_fields
from unimoer_rag.retrieval.query_cache import Lookup, QueryCache
from unimoer_rag.retrieval.running import Embedding, Ranking
from unimoer_rag.retrieval.search import Search, reordered
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.stats import Counter, SearchStats
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.text import clean_text, legible_text
from unimoer_rag.retrieval.types import Hit
from unimoer_rag.steps import Steps, apart, result, results

__all__ = ["Floats", "OnStage", "Searcher", "ignore_stage"]

Floats = NDArray[np.float32]
OnStage = Callable[[str], None]


def ignore_stage(stage: str) -> None:
    """Nobody asked for the stages."""


class Searcher:
    """Searches one index.

    Args:
        embedding: embeds queries.
        ranking: ranks what they find; None where nothing does.
        store: the index.
        encoder: of BM25 vectors.
        cache: hits of earlier queries; one of no entries for none.
    """

    def __init__(
        self,
        embedding: Embedding,
        ranking: Ranking | None,
        store: Store,
        encoder: BM25Encoder,
        cache: QueryCache,
    ) -> None:
        self._embedding, self._ranking = embedding, ranking
        self._store, self._encoder, self._cache = store, encoder, cache
        self._counter = Counter()

    @property
    def stats(self) -> SearchStats:
        """What the searches so far took and were spared."""
        return self._counter.stats

    def search(self, plan: Search, on_stage: OnStage = ignore_stage) -> Steps[list[list[Hit]]]:
        """The hits of a search's every query, best first."""
        lookup = self._cache.look_up(plan)
        vectors = yield from results((yield from apart(self._asking, lookup)))
        found = yield from apart(self._find, lookup, vectors)
        on_stage("retrieve")
        scores = yield from results((yield from apart(self._rankings, lookup, found)))
        hits = self._finish(lookup, found, scores)
        if plan.depth:
            on_stage("rerank")
        if plan.filters and not any(hits):
            missing = yield from apart(missing_fields, self._store, plan.filters)
            if missing:
                # Behind the steps, their driver and the retriever is whoever searches.
                warnings.warn(missing, UnimoerWarning, stacklevel=4)
        return hits

    def _asking(self, lookup: Lookup) -> list[Future[Floats]]:
        """The vectors of the queries left, begun; nothing where the cache knows all."""
        plan = lookup.left
        return [self._embedding.queries(plan.embedded)] if plan.queries else []

    def _find(self, lookup: Lookup, vectors: Sequence[Floats]) -> list[list[Hit]]:
        """The first stage's results of the queries that are not near a known one either."""
        if not vectors:
            return []
        near = lookup.near(vectors[0])  # shrinks `lookup.left`
        return lookup.left.find(near, self._store, self._encoder)

    def _rankings(self, lookup: Lookup, found: Sequence[Sequence[Hit]]) -> list[Future[Floats]]:
        """The scores of what was found, begun."""
        # All are queued before the first is awaited, so that they share batches.
        return [self._scores(query, hits) for query, hits in lookup.left.asked(found)]

    def _finish(
        self, lookup: Lookup, found: Sequence[Sequence[Hit]], scores: Sequence[Floats]
    ) -> list[list[Hit]]:
        """The hits of every query, counted and kept."""
        plan = lookup.left
        reranked = sum(plan.reranks(hits) for hits in found)
        asked = sum(bool(hits) for hits in found) if plan.auto else reranked
        self._counter.count(
            searches=lookup.exact + lookup.semantic + len(found),
            reranked=reranked,
            skipped=asked - reranked,
            exact=lookup.exact,
            semantic=lookup.semantic,
        )
        return lookup.finish([self._told(hits) for hits in plan.rank(found, scores)])

    def rank(self, query: str, hits: Sequence[Hit]) -> Steps[list[Hit]]:
        """Hits reranked for a query, best first."""
        if not hits or self._ranking is None:
            return list(hits)
        scores = yield from result((yield from apart(self._scores, _cleaned(query), hits)))
        return self._told(reordered(hits, scores))

    def pair(self, query: str, hits: Sequence[Hit], first: int) -> Future[Floats] | None:
        """Logits of the first hits with each, begun; None where what ranks has none of pairs."""
        ranking = self._ranking
        return None if ranking is None else ranking.pairs(_cleaned(query), hits, first)

    def _scores(self, query: str, hits: Sequence[Hit]) -> Future[Floats]:
        assert self._ranking is not None  # plans of a searcher without one rerank nothing
        return self._ranking.scores(query, hits)

    def _told(self, hits: list[Hit]) -> list[Hit]:
        """The hits, without scores that are no probabilities: their order says what those say."""
        if self._ranking is None or self._ranking.probabilistic:
            return hits
        return [replace(hit, rerank=None) for hit in hits]


def _cleaned(query: str) -> str:
    return legible_text(clean_text(query))
