"""Runs planned searches: query cache, model, store, reranking; blocking or awaiting."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.errors import UnimoerWarning
from unimoer_rag.model import Job, StateFormat
from unimoer_rag.retrieval.auto_rerank import AutoRerank
from unimoer_rag.retrieval.missing_fields import missing_fields
from unimoer_rag.retrieval.query_cache import Lookup, QueryCache
from unimoer_rag.retrieval.search import Search, rank_job, reordered
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.states import StoredStates
from unimoer_rag.retrieval.stats import Counter, SearchStats
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.text import clean_text, legible_text
from unimoer_rag.retrieval.types import Hit, Mode

__all__ = ["OnStage", "Searcher", "ignore_stage"]

Floats = NDArray[np.float32]
OnStage = Callable[[str], None]


def ignore_stage(stage: str) -> None:
    """Nobody asked for the stages."""


class Searcher:
    """Searches one index with one model.

    Args:
        engine: runs the model.
        store: the index.
        encoder: of BM25 vectors.
        cache: hits of earlier queries; one of no entries for none.
        token_states: the form of token states that the index keeps; None where it keeps none.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        encoder: BM25Encoder,
        cache: QueryCache,
        token_states: StateFormat | None,
    ) -> None:
        self._engine, self._store, self._encoder, self._cache = engine, store, encoder, cache
        self._stored = StoredStates(store, token_states) if token_states else None
        self._counter = Counter()

    @property
    def stats(self) -> SearchStats:
        """What the searches so far took and were spared."""
        return self._counter.stats

    def run(self, plan: Search, on_stage: OnStage = ignore_stage) -> list[list[Hit]]:
        """The hits of a search's every query, best first."""
        lookup = self._cache.look_up(plan)
        vectors = self._results(self._asking(lookup))
        found = self._find(lookup, vectors)
        on_stage("retrieve")
        scores = self._results(self._rankings(lookup, found))
        hits = self._finish(lookup, found, scores)
        on_stage("rerank")
        if plan.filters and not any(hits):
            self._tell(missing_fields(self._store, plan.filters))
        return hits

    async def arun(self, plan: Search, on_stage: OnStage = ignore_stage) -> list[list[Hit]]:
        """`run` without blocking the event loop, nor a thread while the model works."""
        lookup = self._cache.look_up(plan)
        vectors = await self._aresults(await asyncio.to_thread(self._asking, lookup))
        found = await asyncio.to_thread(self._find, lookup, vectors)
        on_stage("retrieve")
        scores = await self._aresults(await asyncio.to_thread(self._rankings, lookup, found))
        hits = self._finish(lookup, found, scores)
        on_stage("rerank")
        if plan.filters and not any(hits):
            self._tell(await asyncio.to_thread(missing_fields, self._store, plan.filters))
        return hits

    def _tell(self, missing: str) -> None:
        """Warn, where there is something to tell."""
        if missing:
            warnings.warn(missing, UnimoerWarning, stacklevel=4)

    def _results(self, jobs: Sequence[Job[Floats]]) -> list[Floats]:
        # All are queued before the first is awaited, so that they share batches.
        futures = [self._engine.submit(job) for job in jobs]
        return [future.result() for future in futures]

    async def _aresults(self, jobs: Sequence[Job[Floats]]) -> list[Floats]:
        futures = [asyncio.wrap_future(self._engine.submit(job)) for job in jobs]
        return await asyncio.gather(*futures)

    def _asking(self, lookup: Lookup) -> list[Job[Floats]]:
        """The job that gives the vectors of the queries left; none where the cache knows all."""
        plan = lookup.left
        return [plan.embedding(self._engine.model, self._store.dimension)] if plan.queries else []

    def _find(self, lookup: Lookup, vectors: Sequence[Floats]) -> list[list[Hit]]:
        """The first stage's results of the queries that are not near a known one either."""
        if not vectors:
            return []
        near = lookup.near(vectors[0])  # shrinks `lookup.left`
        return lookup.left.find(near, self._store, self._encoder)

    def _rankings(self, lookup: Lookup, found: Sequence[Sequence[Hit]]) -> list[Job[Floats]]:
        """The jobs that rank what was found."""
        return lookup.left.rankings(self._engine.model, found, self._stored)

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
        return lookup.finish(plan.rank(found, scores))

    def to_rerank(
        self, hits: list[Hit], auto: AutoRerank | None, mode: Mode, *, at_least: int
    ) -> list[Hit]:
        """What of a first stage's results is reranked by hand; counted.

        Args:
            hits: best first.
            auto: decides; None reranks all.
            mode: the first stage.
            at_least: so many are, where the rest is skipped.
        """
        skipped = bool(hits) and auto is not None and auto.skips(hits, mode)
        self._counter.count(reranked=bool(hits) and not skipped, skipped=skipped)
        return hits[:at_least] if skipped else hits

    def rank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Hits reranked for a query, best first."""
        if not hits:
            return []
        (scores,) = self._results([self._ranking(query, hits)])
        return reordered(hits, scores)

    async def arank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """`rank` without blocking the event loop."""
        if not hits:
            return []
        job = await asyncio.to_thread(self._ranking, query, hits)
        (scores,) = await self._aresults([job])
        return reordered(hits, scores)

    def _ranking(self, query: str, hits: Sequence[Hit]) -> Job[Floats]:
        return rank_job(self._engine.model, legible_text(clean_text(query)), hits, self._stored)
