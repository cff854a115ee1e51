"""A corpus in an index, searched by any embedder and ranked by any reranker.

The store, BM25, the fusion and the order of a search are those of `UnifiedRetriever`; only who
embeds and who ranks is another. So systems differ in their models and in nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation import Embedder, Ranker, check_nothing_else
from unimoer_rag.progress import Progress
from unimoer_rag.retrieval import (
    WHOLE,
    AddReport,
    BM25Encoder,
    Document,
    EdgeStore,
    Embedded,
    Hit,
    Mode,
    OnStage,
    Search,
    Store,
    agree,
    check_settings,
    whole,
)
from unimoer_rag.retrieval.ingest import ingest

__all__ = ["StoredCorpus"]

# As for `UnifiedRetriever`: queries searched for together, and the hits of a search.
_BLOCK, _K = 64, 5


@dataclass(frozen=True, slots=True)
class _Identity:
    """What an index records of its embedder; see `identity.Identified`."""

    checkpoint: str
    checkpoint_digest: str
    dimension: int

    @classmethod
    def of(cls, embedder: Embedder | None) -> _Identity:
        if embedder is None:
            return cls("no model (BM25)", "", 0)
        # As for our own models, an index serves every precision.
        facts = {key: fact for key, fact in embedder.describe().items() if key != "dtype"}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return cls(str(facts["model"]), digest, embedder.dimension)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCorpus:
    """Searches an index; see `Finder`. Made by `StoredCorpus.open`.

    Attributes:
        store: holds the passages.
        embedder: embeds queries; None where every search is by words.
        ranker: reranks; None where nothing does.
        mode: first stage.
        depth: first-stage results that are reranked by default.
        encoder: of the sparse vectors.
    """

    store: Store
    embedder: Embedder | None
    ranker: Ranker | None
    mode: Mode
    depth: int
    encoder: BM25Encoder

    @classmethod
    @contextmanager
    def open(
        cls,
        corpus: Mapping[str, Document],
        *,
        embedder: Embedder | None,
        ranker: Ranker | None,
        index: Path,
        first_stage: str,
        depth: int,
        on_progress: Progress,
    ) -> Iterator[StoredCorpus]:
        """Index a corpus, as far as the index does not hold it already.

        Args:
            corpus: see `System.over`, as for all that follow.
            embedder: gives the dense vectors; None stores none.
            ranker: reranks what is found.
            index: folder.
            first_stage: "sparse"; with an embedder also "dense" or "hybrid".
            depth: first-stage results to rerank.
            on_progress: called with "indexing", what is done and its size.

        Raises:
            IndexMismatchError: something else embedded what the index holds.
            DataError: the index holds passages of another corpus.
            InputError: there is no such first stage.
        """
        check_settings(_K, depth, first_stage)
        if embedder is None and first_stage != "sparse":
            raise InputError(
                f"nothing is embedded here, so there is no {first_stage} search: the first stage "
                "must be 'sparse' (BM25)"
            )
        identity = _Identity.of(embedder)
        with EdgeStore(index, dimension=identity.dimension) as store:
            opened = cls(
                store=store,
                embedder=embedder,
                ranker=ranker,
                mode=cast("Mode", first_stage),
                depth=depth,
                encoder=BM25Encoder(),
            )
            agree(store, identity, WHOLE, opened.encoder, where=str(index))
            report = ingest(
                corpus.values(),
                whole,
                embed=opened._embed_documents,
                store=store,
                encoder=opened.encoder,
                report=AddReport(),
                replace=False,  # each passage is a source; a corpus may be larger than memory
                on_progress=lambda so_far: on_progress("indexing", so_far.passages, len(corpus)),
            )
            check_nothing_else(store.count(), report.passages, index=index)
            yield opened

    def search(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: int | None = None,
        on_stage: OnStage = lambda stage: None,
    ) -> list[Hit]:
        """See `Finder.search`; without a reranker `rerank` changes nothing."""
        return self._search(self._plan([query], k, rerank), on_stage)[0]

    def search_batch(
        self, queries: Sequence[str], *, k: int | None = None, rerank: int | None = None
    ) -> list[list[Hit]]:
        """See `Finder.search_batch`."""
        plan = self._plan(queries, k, rerank)
        return [hits for block in plan.blocks(_BLOCK) for hits in self._search(block)]

    def _plan(self, queries: Sequence[str], k: int | None, rerank: int | None) -> Search:
        depth = self.depth if rerank is None else rerank
        return Search.plan(
            queries,
            k=_K if k is None else k,
            rerank=0 if self.ranker is None else depth,
            mode=self.mode,
            filters=None,
        )

    def _search(self, plan: Search, on_stage: OnStage = lambda stage: None) -> list[list[Hit]]:
        found = plan.find(self._embed_queries(plan), self.store, self.encoder)
        on_stage("retrieve")
        ranked = self._rank(plan, found)
        if plan.depth:
            on_stage("rerank")
        return ranked

    def _rank(self, plan: Search, found: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        if self.ranker is None:
            return plan.rank(found, [])
        scores = [self.ranker.rank(query, texts) for query, texts in plan.to_rank(found)]
        ranked = plan.rank(found, scores)
        if self.ranker.probabilistic:
            return ranked
        # A hit's `rerank` is a probability or nothing; the order says what other scores say.
        return [[replace(hit, rerank=None) for hit in hits] for hits in ranked]

    def _embed_queries(self, plan: Search) -> NDArray[np.float32]:
        if self.embedder is None or plan.mode == "sparse":
            return np.zeros((0, self.store.dimension), np.float32)
        return self.embedder.embed(plan.queries, "query")

    def _embed_documents(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        embedder = self.embedder
        if embedder is None:
            return lambda: Embedded(np.zeros((len(texts), 0), np.float32))
        return lambda: Embedded(embedder.embed(texts, "document"))
