"""Puts documents into an index: cut, embedded, stored; and takes them out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.chunking import Chunker, whole
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
from unimoer_rag.retrieval.text import clean_text
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
        documents: Iterable[str | Document],
        *,
        source: str,
        replace: bool,
        on_progress: OnReport,
    ) -> AddReport:
        """See `UnifiedRetriever.add`."""
        if (
            isinstance(documents, str | Document)
            or _framework(documents)
            or not isinstance(documents, Iterable)
        ):
            raise InputError(
                f"add takes a list of documents, not a {type(documents).__name__}: wrap a single "
                "one as [document]"
            )
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
        self._ingest(
            corpus.documents(on_error=report.problems.append, on_note=report.notes.append),
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


# What frameworks call documents, by the package they come from, and what to do with them.
_REMEDIES = {
    "langchain_core": "index LangChain documents by retriever.as_langchain().add_documents([...])",
    "llama_index": "make a unimoer_rag Document of it, as Document(node.get_content(), "
    "source=node.metadata.get('file_name', node.node_id), metadata=Coercion()(node.metadata)), "
    "both from unimoer_rag.retrieval",
}


def _framework(value: object) -> str:
    """The package of a framework's object, also of one derived from it; "" for others."""
    packages = (kind.__module__.partition(".")[0] for kind in type(value).__mro__)
    return next((package for package in packages if package in _REMEDIES), "")


def _named(text: object, source: str, at: int) -> Document:
    if not isinstance(text, str):
        kind = type(text)
        if framework := _framework(text):
            raise InputError(
                f"document {at} is a {kind.__module__}.{kind.__qualname__}: {_REMEDIES[framework]}"
            )
        raise InputError(
            f"document {at} is a {kind.__name__}: expected a str or a unimoer_rag Document"
        )
    name = hashlib.sha256(clean_text(text).encode()).hexdigest()[:16]
    return Document(text=text, source=f"{source}/{name}")
