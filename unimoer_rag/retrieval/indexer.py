"""Puts documents into an index: cut, embedded by the model, stored; and takes them out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model import StateFormat, embedding, indexing
from unimoer_rag.retrieval.chunking import Chunker, Chunking, whole
from unimoer_rag.retrieval.ingest import AddReport, Embedded, OnReport, ingest
from unimoer_rag.retrieval.metadata import clean
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.replacing import check_not_all
from unimoer_rag.retrieval.roots import Roots
from unimoer_rag.retrieval.search import Filters
from unimoer_rag.retrieval.selecting import Selection
from unimoer_rag.retrieval.sources import scan
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document

__all__ = ["Indexer"]


class Indexer:
    """Writes one index with one model.

    Args:
        engine: runs the model.
        store: the index.
        encoder: of BM25 vectors.
        cache: hits of earlier queries, which every write empties.
        token_states: the form of token states that the index keeps; None where it keeps none.
        chunking: how documents are cut; "whole" keeps each as one passage.
        home: the index's folder, if it has one.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        encoder: BM25Encoder,
        cache: QueryCache,
        token_states: StateFormat | None,
        *,
        chunking: Chunking | str,
        home: Path | None = None,
    ) -> None:
        self._engine, self._store, self._encoder, self._cache = engine, store, encoder, cache
        cut = chunking if isinstance(chunking, Chunking) else None
        self._chunker = Chunker(engine.model.tokenizer.backend_tokenizer, cut)
        self._token_states = token_states
        self._roots = Roots(store, home)

    def add(
        self,
        documents: Iterable[str | Document],
        *,
        source: str,
        replace: bool,
        on_progress: OnReport,
    ) -> AddReport:
        """See `UnifiedRetriever.add`."""
        if isinstance(documents, str | Document):
            raise InputError("add takes a list of documents: wrap a single one as [document]")
        named = (
            document if isinstance(document, Document) else _named(document, source, at)
            for at, document in enumerate(documents)
        )
        return self._ingest(named, AddReport(), replace=replace, on_progress=on_progress)

    def add_path(
        self, path: str | Path, *, sync: bool, selection: Selection, on_progress: OnReport
    ) -> AddReport:
        """See `UnifiedRetriever.add_path`."""
        root = self._roots.of(path)
        corpus = scan(path, name=self._roots.naming(path), selection=selection)
        if sync and not corpus.files:
            check_not_all(self._store, corpus.within, path)
        if corpus.files:
            self._roots.remember(root)
        report = AddReport(skipped=dict(corpus.skipped))
        return self._ingest(
            corpus.documents(on_error=report.problems.append, on_note=report.notes.append),
            report,
            precut=corpus.precut,
            within=corpus.within if sync else (),
            on_progress=on_progress,
        )

    def delete(self, ids: Iterable[str] | None, *, filters: Filters | None) -> int:
        """See `UnifiedRetriever.delete`."""
        with self._cache.writing():
            removed = self._store.delete(ids, filters=clean(filters))
            self._store.flush()
        return removed

    def _ingest(
        self,
        documents: Iterable[Document],
        report: AddReport,
        *,
        on_progress: OnReport,
        precut: bool = False,
        replace: bool = True,
        within: Collection[str] = (),
    ) -> AddReport:
        with self._cache.writing():
            return ingest(
                documents,
                whole if precut else self._chunker.split,
                embed=self._embed,
                store=self._store,
                encoder=self._encoder,
                report=report,
                replace=replace,
                within=within,
                on_progress=on_progress,
            )

    def _embed(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        model, dimensions = self._engine.model, self._store.dimension
        if self._token_states is None:
            job = embedding(model, texts, "document", dimensions=dimensions)
            vectors = self._engine.submit(job)
            return lambda: Embedded(vectors.result(), job.n_truncated)
        both = indexing(model, texts, self._token_states, dimensions=dimensions)
        done = self._engine.submit(both)
        return lambda: Embedded(done.result()[0], both.n_truncated, done.result()[1])


def _named(text: object, source: str, at: int) -> Document:
    if not isinstance(text, str):
        raise InputError(f"document {at} is a {type(text).__name__}: expected a str or a Document")
    name = hashlib.sha256(clean_text(text).encode()).hexdigest()[:16]
    return Document(text=text, source=f"{source}/{name}")
