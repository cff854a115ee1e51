"""UnifiedRetriever: one model that indexes, finds and reranks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.jobs import embedding, scoring
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.chunking import Chunker, Chunking, whole
from unimoer_rag.retrieval.fusion import reciprocal_rank_fusion
from unimoer_rag.retrieval.identity import ChunkingChoice, agree
from unimoer_rag.retrieval.ingest import AddReport, Progress, ingest
from unimoer_rag.retrieval.sources import scan
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import EdgeStore, Found, ServerStore, Store
from unimoer_rag.retrieval.types import Document, Hit

__all__ = ["Mode", "UnifiedRetriever"]

Mode = Literal["dense", "sparse", "hybrid"]
_MODES = ("dense", "sparse", "hybrid")
Filters = Mapping[str, Any]


class UnifiedRetriever:
    """Indexes documents and answers queries with reranked passages, all on one loaded model.

    Args:
        model: a checkpoint's name or folder, a backbone's name, or a loaded model.
        index: folder of an embedded index on disk; made on first use.
        url: a Qdrant server's URL, in place of a folder. With neither, the index is in memory.
        api_key: for the server.
        collection: on the server.
        chunking: how documents are cut; "whole" keeps each as one passage; None takes the
            index's, or 160 tokens with 32 overlapping for a new one.
        k: hits a search gives.
        rerank: how many first-stage results are reranked; 0 reranks none.
        mode: first stage: "dense" vectors, "sparse" BM25, or "hybrid", both fused by rank.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.

    Raises:
        IndexMismatchError: the index was built with another model or chunking.
        IndexLockedError: another process has the index open.
        StoreError: the server is down or refuses the key.

    >>> retriever = UnifiedRetriever(index="handbook.index")           # doctest: +SKIP
    >>> retriever.add_path("handbook")                                 # doctest: +SKIP
    >>> retriever.search("how do refunds work?")[0].text               # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | UniMoER = "unimoer-minilm",
        *,
        index: str | Path | None = None,
        url: str | None = None,
        api_key: str | None = None,
        collection: str = "unimoer",
        chunking: ChunkingChoice = None,
        k: int = 5,
        rerank: int = 50,
        mode: Mode = "dense",
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        if index is not None and url is not None:
            raise InputError("give either index (a folder) or url (a server), not both")
        self.k, self.rerank, self.mode = _check(k, rerank, mode)
        if isinstance(chunking, str) and chunking != "whole":
            raise InputError(f"chunking is {chunking!r}: expected a Chunking, 'whole' or None")
        self.model = (
            UniMoER.from_pretrained(model, device=device, dtype=dtype)
            if isinstance(model, str)
            else model
        )
        self.engine = Engine.of(self.model)
        self._encoder = BM25Encoder()
        self.store = self._open(index, url, api_key, collection)
        where = str(url or index or "memory")
        try:
            self.chunking = agree(self.store, self.model, chunking, self._encoder, where=where)
        except BaseException:
            self.store.close()
            raise
        cut = self.chunking if isinstance(self.chunking, Chunking) else None
        self._chunker = Chunker(self.model.tokenizer.backend_tokenizer, cut)

    def _open(
        self, index: str | Path | None, url: str | None, api_key: str | None, collection: str
    ) -> Store:
        dimension = self.model.dimension
        if url is not None:
            return ServerStore.connect(
                url, api_key=api_key, collection=collection, dimension=dimension
            )
        if index is not None:
            return EdgeStore(index, dimension=dimension)
        return ServerStore.memory(dimension=dimension)

    # -- documents in -----------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[str | Document],
        *,
        source: str = "text",
        on_progress: Progress = lambda report: None,
    ) -> AddReport:
        """Index texts or documents; what is there already is left alone.

        Args:
            documents: plain texts get the sources `<source>/0`, `<source>/1`, ...
            source: names plain texts.
            on_progress: called with the report after every batch.
        """
        if isinstance(documents, str | Document):
            raise InputError("add takes a list of documents: wrap a single one as [document]")
        named = (
            document if isinstance(document, Document) else _named(document, f"{source}/{at}", at)
            for at, document in enumerate(documents)
        )
        return self._ingest(named, AddReport(), on_progress=on_progress)

    def add_path(
        self, path: str | Path, *, on_progress: Progress = lambda report: None
    ) -> AddReport:
        """Index a file, a folder, a JSONL file or a BEIR folder.

        What cannot be read is reported, the rest is indexed. A changed file's old passages go.

        Raises:
            ReadError: there is nothing to read at the path.
        """
        corpus = scan(path)
        report = AddReport(skipped=dict(corpus.skipped))
        documents = corpus.documents(on_error=report.problems.append)
        return self._ingest(documents, report, precut=corpus.precut, on_progress=on_progress)

    def _ingest(
        self,
        documents: Iterable[Document],
        report: AddReport,
        *,
        on_progress: Progress,
        precut: bool = False,
    ) -> AddReport:
        return ingest(
            documents,
            whole if precut else self._chunker.split,
            engine=self.engine,
            store=self.store,
            encoder=self._encoder,
            report=report,
            on_progress=on_progress,
        )

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id, or by filters such as `{"source": "handbook/refunds.md"}`.

        Returns:
            How many were removed.
        """
        removed = self.store.delete(ids, filters=filters)
        self.store.flush()
        return removed

    # -- hits out ---------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: int | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
    ) -> list[Hit]:
        """The best passages for a query, best first.

        Args:
            query: what to look for.
            k: hits to give, in place of the retriever's.
            rerank: first-stage results to rerank; 0 for none. At least `k` are when any is.
            mode: first stage, in place of the retriever's.
            filters: conditions on source, title and metadata, such as
                `{"source": "a.md", "year": {"gte": 2020}, "tag": ["x", "y"]}`.
        """
        return self.search_batch([query], k=k, rerank=rerank, mode=mode, filters=filters)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        *,
        k: int | None = None,
        rerank: int | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
    ) -> list[list[Hit]]:
        """`search` for many queries at once: one embedding call, one rerank queue."""
        if isinstance(queries, str):
            raise InputError("search_batch takes a list of queries: use search for a single one")
        n, depth, stage = _check(
            self.k if k is None else k,
            self.rerank if rerank is None else rerank,
            self.mode if mode is None else mode,
        )
        depth = max(depth, n) if depth else 0
        vectors = np.empty((0, self.model.dimension), dtype=np.float32)
        # Also checks the queries: an empty one is an error in every mode.
        job = embedding(self.model, queries, "query")
        if stage != "sparse" and queries:
            vectors = self.engine.submit(job).result()
        found = self._first_stage(queries, vectors, max(n, depth), stage, filters)
        if depth:
            found = self._rerank(queries, found, depth)
        return [hits[:n] for hits in found]

    async def asearch(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: int | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
    ) -> list[Hit]:
        """`search` without blocking the event loop."""
        return await asyncio.to_thread(
            self.search, query, k=k, rerank=rerank, mode=mode, filters=filters
        )

    def _first_stage(
        self,
        queries: Sequence[str],
        vectors: np.ndarray[Any, np.dtype[np.float32]],
        limit: int,
        mode: Mode,
        filters: Filters | None,
    ) -> list[list[Hit]]:
        if not queries:
            return []
        dense: list[list[Found]] = [[] for _ in queries]
        sparse: list[list[Found]] = [[] for _ in queries]
        if mode != "sparse":
            dense = self.store.search_dense(vectors, limit=limit, filters=filters)
        if mode != "dense":
            encoded = [self._encoder.query(query) for query in queries]
            sparse = self.store.search_sparse(encoded, limit=limit, filters=filters)
        if mode == "dense":
            return [[Hit(f.passage, dense=f.score) for f in found] for found in dense]
        if mode == "sparse":
            return [[Hit(f.passage, sparse=f.score) for f in found] for found in sparse]
        return [_fuse(d, s)[:limit] for d, s in zip(dense, sparse, strict=True)]

    def _rerank(
        self, queries: Sequence[str], found: list[list[Hit]], depth: int
    ) -> list[list[Hit]]:
        # All jobs are queued before the first is awaited, so that they share batches.
        futures = [
            self.engine.submit(
                scoring(
                    self.model,
                    query,
                    [hit.passage.content for hit in hits[:depth]],
                    "rerank",
                    logits=False,
                )
            )
            for query, hits in zip(queries, found, strict=True)
        ]
        ranked = []
        for future, hits in zip(futures, found, strict=True):
            scored = [
                replace(hit, rerank=float(score))
                for hit, score in zip(hits, future.result(), strict=False)
            ]
            # A stable sort: what the reranker cannot tell apart keeps the first stage's order.
            ranked.append(sorted(scored, key=lambda hit: -(hit.rerank or 0.0)))
        return ranked

    # -- the rest ---------------------------------------------------------------------------

    def count(self) -> int:
        """Passages in the index."""
        return self.store.count()

    def close(self) -> None:
        """Let go of the index; the model stays loaded while anyone holds it."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _named(text: object, source: str, at: int) -> Document:
    if not isinstance(text, str):
        raise InputError(f"document {at} is a {type(text).__name__}: expected a str or a Document")
    return Document(text=text, source=source)


def _fuse(dense: Sequence[Found], sparse: Sequence[Found]) -> list[Hit]:
    """Both rankings fused by rank, every hit with the scores it has."""
    passages = {f.passage.id: f.passage for f in (*dense, *sparse)}
    cosine = {f.passage.id: f.score for f in dense}
    bm25 = {f.passage.id: f.score for f in sparse}
    rankings = [[(f.passage.id, f.score) for f in found] for found in (dense, sparse)]
    return [
        Hit(passages[key], dense=cosine.get(key), sparse=bm25.get(key), fused=score)
        for key, score in reciprocal_rank_fusion(rankings)
    ]


def _check(k: int, rerank: int, mode: Mode) -> tuple[int, int, Mode]:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InputError(f"k is {k!r}: expected a whole number of hits, at least 1")
    if isinstance(rerank, bool) or not isinstance(rerank, int) or rerank < 0:
        raise InputError(f"rerank is {rerank!r}: expected a number of results to rerank, or 0")
    if mode not in _MODES:
        raise InputError(f"unknown mode {mode!r}: expected one of {', '.join(_MODES)}")
    return k, rerank, mode
