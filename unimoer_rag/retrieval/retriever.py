"""UnifiedRetriever: one model that indexes, finds and reranks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model.jobs import embedding
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.chunking import Chunker, Chunking, whole
from unimoer_rag.retrieval.identity import WHOLE, ChunkingChoice, agree
from unimoer_rag.retrieval.ingest import AddReport, Embedded, Progress, ingest
from unimoer_rag.retrieval.search import Filters, Mode, Search, check_settings
from unimoer_rag.retrieval.sources import scan
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import EdgeStore, ServerStore, Store
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Hit

if TYPE_CHECKING:
    from langchain_unimoer import UniMoERRetriever
    from llama_index.retrievers.unimoer import UniMoERIndexRetriever

__all__ = ["Filters", "Mode", "OnStage", "UnifiedRetriever"]

# Queries searched for together: enough to fill batches, few enough that their passages and token
# states fit in memory.
_BLOCK = 64


OnStage = Callable[[str], None]


def _ignore(stage: str) -> None:
    """Nobody asked for the stages."""


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
        memory_budget: see `UniMoER.from_pretrained`.

    Raises:
        InputError: an argument has a value that cannot be used.
        IndexMismatchError: the index was built with another model or chunking.
        IndexLockedError: another process has the index open.
        StoreError: the server is down or refuses the key.

    >>> retriever = UnifiedRetriever(index="handbook.index")           # doctest: +SKIP
    >>> retriever.add_path("handbook")                                 # doctest: +SKIP
    >>> retriever.search("how do refunds work?")[0].text               # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | UniMoER = "unimoer-minilm",
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
        memory_budget: str | int | None = None,
    ) -> None:
        if index is not None and url is not None:
            raise InputError("give either index (a folder) or url (a server), not both")
        check_settings(k, rerank, mode)
        self.k, self.rerank, self.mode = k, rerank, mode
        if isinstance(chunking, str) and chunking != WHOLE:
            raise InputError(f"chunking is {chunking!r}: expected a Chunking, {WHOLE!r} or None")
        self.model = (
            model
            if isinstance(model, UniMoER)
            else UniMoER.from_pretrained(
                model, device=device, dtype=dtype, memory_budget=memory_budget
            )
        )
        self.engine = Engine.of(self.model)
        self._encoder = BM25Encoder()
        self.store = self._open(index, url, api_key, collection)
        where = str(url or index or "memory")
        try:
            self.chunking = agree(self.store, self.model, chunking, self._encoder, where=where)
            cut = self.chunking if isinstance(self.chunking, Chunking) else None
            self._chunker = Chunker(self.model.tokenizer.backend_tokenizer, cut)
        except BaseException:
            self.store.close()
            raise

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
        replace: bool = True,
        on_progress: Progress = lambda report: None,
    ) -> AddReport:
        """Index texts or documents; what is there already is left alone.

        A document takes the place of what its source had before. Texts never replace another:
        each gets a source of its own, made from its content.

        Args:
            documents: texts or documents.
            source: texts get the sources `<source>/<hash of the text>`.
            replace: let documents take the place of what their sources had. Without it they are
                only added, in memory that does not grow with the index.
            on_progress: called with the report after every batch.
        """
        if isinstance(documents, str | Document):
            raise InputError("add takes a list of documents: wrap a single one as [document]")
        named = (
            document if isinstance(document, Document) else _named(document, source, at)
            for at, document in enumerate(documents)
        )
        return self._ingest(named, AddReport(), replace=replace, on_progress=on_progress)

    def add_path(
        self, path: str | Path, *, on_progress: Progress = lambda report: None
    ) -> AddReport:
        """Index a file, a folder, a JSONL file or a BEIR folder.

        What cannot be read is reported, the rest is indexed. A changed file's old passages go;
        those of a file that is gone stay until `delete(filters={"source": ...})`.

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
        replace: bool = True,
    ) -> AddReport:
        return ingest(
            documents,
            whole if precut else self._chunker.split,
            embed=self._embed,
            store=self.store,
            encoder=self._encoder,
            report=report,
            replace=replace,
            on_progress=on_progress,
        )

    def _embed(self, texts: Sequence[str]) -> Embedded:
        job = embedding(self.model, texts, "document")
        return Embedded(self.engine.submit(job).result(), job.n_truncated)

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
        on_stage: OnStage = _ignore,
    ) -> list[Hit]:
        """The best passages for a query, best first.

        Args:
            query: what to look for.
            k: hits to give, in place of the retriever's.
            rerank: first-stage results to rerank; 0 for none. At least `k` are when any is.
            mode: first stage, in place of the retriever's.
            filters: conditions on source, title and metadata, such as
                `{"source": "a.md", "year": {"gte": 2020}, "tag": ["x", "y"]}`.
            on_stage: called with "retrieve" and "rerank" as each ends, for timing and tracing.
        """
        return self._search(self._plan([query], k, rerank, mode, filters), on_stage)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        *,
        k: int | None = None,
        rerank: int | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
    ) -> list[list[Hit]]:
        """`search` for many queries, which share the model's batches."""
        if isinstance(queries, str):
            raise InputError("search_batch takes a list of queries: use search for a single one")
        plan = self._plan(queries, k, rerank, mode, filters)
        return [hits for block in plan.blocks(_BLOCK) for hits in self._search(block)]

    async def asearch(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: int | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
        on_stage: OnStage = _ignore,
    ) -> list[Hit]:
        """`search` without blocking the event loop, nor a thread while the model works."""
        plan = self._plan([query], k, rerank, mode, filters)
        job = await asyncio.to_thread(plan.embedding, self.model)
        vectors = await asyncio.wrap_future(self.engine.submit(job))
        found = await asyncio.to_thread(plan.find, vectors, self.store, self._encoder)
        on_stage("retrieve")
        jobs = await asyncio.to_thread(plan.rankings, self.model, found)
        scores = [await asyncio.wrap_future(self.engine.submit(job)) for job in jobs]
        ranked = plan.rank(found, scores)[0]
        on_stage("rerank")
        return ranked

    def _plan(
        self,
        queries: Sequence[str],
        k: int | None,
        rerank: int | None,
        mode: Mode | None,
        filters: Filters | None,
    ) -> Search:
        return Search.plan(
            queries,
            k=self.k if k is None else k,
            rerank=self.rerank if rerank is None else rerank,
            mode=self.mode if mode is None else mode,
            filters=filters,
        )

    def _search(self, plan: Search, on_stage: OnStage = _ignore) -> list[list[Hit]]:
        vectors = self.engine.submit(plan.embedding(self.model)).result()
        found = plan.find(vectors, self.store, self._encoder)
        on_stage("retrieve")
        # All are queued before the first is awaited, so that they share batches.
        futures = [self.engine.submit(job) for job in plan.rankings(self.model, found)]
        ranked = plan.rank(found, [future.result() for future in futures])
        on_stage("rerank")
        return ranked

    # -- in a framework ---------------------------------------------------------------------

    def as_llama_index(self, **settings: Any) -> UniMoERIndexRetriever:
        """This retriever as a LlamaIndex `BaseRetriever`.

        Args:
            settings: k, rerank, mode, filters of `UniMoERIndexRetriever`.

        Raises:
            MissingExtraError: LlamaIndex is not installed.
        """
        with needs_extra("llama_index.core", "llama-index", "as_llama_index"):
            from llama_index.retrievers.unimoer import UniMoERIndexRetriever

        return UniMoERIndexRetriever(self, **settings)

    def as_langchain(self, **settings: Any) -> UniMoERRetriever:
        """This retriever as a LangChain `BaseRetriever`.

        Args:
            settings: k, rerank, mode, filters, tags, metadata of `UniMoERRetriever`.

        Raises:
            MissingExtraError: LangChain is not installed.
        """
        with needs_extra("langchain_core", "langchain", "as_langchain"):
            from langchain_unimoer import UniMoERRetriever

        return UniMoERRetriever(retriever=self, **settings)

    # -- the rest ---------------------------------------------------------------------------

    def __reduce__(self) -> NoReturn:
        raise UnimoerError(
            "a UnifiedRetriever holds an open index and cannot be pickled or copied: open the "
            "index in the other process (by url, where both need it at the same time)"
        )

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
    name = hashlib.sha256(clean_text(text).encode()).hexdigest()[:16]
    return Document(text=text, source=f"{source}/{name}")
