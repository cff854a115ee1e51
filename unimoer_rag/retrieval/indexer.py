"""Puts documents into an index: cut, embedded, stored; and takes them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from unimoer_rag.errors import InputError, StoreError
from unimoer_rag.retrieval.chunking import Chunker, whole
from unimoer_rag.retrieval.coercion import Coercion
from unimoer_rag.retrieval.framework_documents import is_document, to_documents
from unimoer_rag.retrieval.ingest import AddReport, Embedded, OnReport, ingest
from unimoer_rag.retrieval.known_problems import mark_known
from unimoer_rag.retrieval.left_behind import left_behind
from unimoer_rag.retrieval.metadata import clean
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.replacing import check_not_all
from unimoer_rag.retrieval.roots import Roots
from unimoer_rag.retrieval.running import Embedding
from unimoer_rag.retrieval.search import Filters
from unimoer_rag.retrieval.selecting import Selection
from unimoer_rag.retrieval.sources import scan
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.types import Document
from unimoer_rag.retrieval.writing import WritingSeen

__all__ = ["Indexer"]


class Indexer:
    """Writes one index.

    Args:
        embedding: embeds passages.
        store: the index.
        encoder: of BM25 vectors.
        cache: hits of earlier queries, which every write empties.
        chunker: cuts documents.
        writing: watches what is embedded.
        home: the index's folder, if it has one.
    """

    def __init__(
        self,
        embedding: Embedding,
        store: Store,
        encoder: BM25Encoder,
        cache: QueryCache,
        chunker: Chunker,
        writing: WritingSeen,
        *,
        home: Path | None = None,
    ) -> None:
        self._embedding, self._store, self._encoder = embedding, store, encoder
        self._cache, self._chunker, self._writing = cache, chunker, writing
        self._roots, self._home = Roots(store, home), home

    def add(
        self,
        documents: Iterable[object],
        *,
        source: str,
        replace: bool,
        whole: bool,
        on_progress: OnReport,
    ) -> AddReport:
        """See `UnifiedRetriever.add`."""
        if is_document(documents) or not isinstance(documents, Iterable):
            raise InputError(
                f"add takes a list of documents, not a {type(documents).__name__}: wrap a single "
                "one as [document]"
            )
        self._check_writable()
        coercion = Coercion()
        ours = to_documents(documents, source=source, coercion=coercion, apart=replace)
        report = self._ingest(
            ours, AddReport(), precut=whole, replace=replace, on_progress=on_progress
        )
        coercion.tell(stacklevel=3)
        return report

    def add_path(
        self, path: str | Path, *, sync: bool, selection: Selection, on_progress: OnReport
    ) -> AddReport:
        """See `UnifiedRetriever.add_path`."""
        self._check_writable()
        root = self._roots.of(path)
        corpus = scan(path, name=self._roots.naming(path), selection=selection)
        if sync and not corpus.files:
            check_not_all(self._store, corpus.within, path)
        if corpus.files:
            self._roots.remember(root)
        report = AddReport(skipped=dict(corpus.skipped))

        def tell_page(source: str, number: int, of: int) -> None:
            report.reading = f"{source}, page {number} of {of}" if of > 1 else source
            on_progress(report)

        documents = corpus.documents(
            on_error=report.problems.append, on_note=report.notes.append, on_page=tell_page
        )
        self._ingest(
            documents,
            report,
            precut=corpus.precut,
            within=corpus.within if sync else (),
            on_progress=on_progress,
        )
        mark_known(self._store, corpus.within, report.problems, report.notes)
        # On a server, folders of other machines are not gone.
        if self._home is not None and Path(path).is_dir():
            report.notes += left_behind(self._store, self._roots.known())
        return report

    def delete(self, ids: Iterable[str] | None, *, filters: Filters | None) -> int:
        """See `UnifiedRetriever.delete`."""
        with self._cache.writing():
            removed = self._store.delete(ids, filters=clean(filters))
            self._store.flush()
        return removed

    def _check_writable(self) -> None:
        """Before anything is read and embedded."""
        if self._store.read_only:
            raise StoreError(f"the index is open for reading only: {self._store.read_only}")

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
            ingest(
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
        self._writing.tell()
        return report

    def _embed(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        self._writing.meet(texts)
        return self._embedding.documents(texts)
