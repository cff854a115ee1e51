"""UnifiedRetriever: one model that indexes, finds and reranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model import UniMoER, late_task
from unimoer_rag.model.tasks.state_format import Precision
from unimoer_rag.retrieval.auto_rerank import AutoRerank, Rerank, resolve
from unimoer_rag.retrieval.identity import WHOLE, ChunkingChoice, agree
from unimoer_rag.retrieval.index_model import model_of_index
from unimoer_rag.retrieval.indexer import Indexer
from unimoer_rag.retrieval.ingest import AddReport, OnReport
from unimoer_rag.retrieval.opening import open_store, state_format
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.search import Filters, Mode, Search, check_settings
from unimoer_rag.retrieval.searcher import OnStage, Searcher, ignore_stage
from unimoer_rag.retrieval.selecting import Selection
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.stats import SearchStats
from unimoer_rag.retrieval.store import Quantization
from unimoer_rag.retrieval.types import Document, Hit
from unimoer_rag.urls import shown_url

if TYPE_CHECKING:
    from langchain_unimoer import UniMoERRetriever
    from llama_index.retrievers.unimoer import UniMoERIndexRetriever

__all__ = ["Filters", "Mode", "OnStage", "UnifiedRetriever"]

# Queries searched for together: enough to fill batches, few enough that their passages and token
# states fit in memory.
_BLOCK = 64


class UnifiedRetriever:
    """Indexes documents and answers queries with reranked passages, all on one loaded model.

    Args:
        model: a checkpoint's name or folder, a backbone's name, or a loaded model; None takes the
            one that the index was built with, or "unimoer-minilm" for a new index.
        index: folder of an embedded index on disk; made on first use.
        url: a Qdrant server's URL, in place of a folder. With neither, the index is in memory.
        api_key: for the server.
        collection: on the server.
        chunking: how documents are cut; "whole" keeps each as one passage; None takes the
            index's, or 160 tokens with 32 overlapping for a new one.
        dimensions: length of the vectors, where the checkpoint was trained to be cut
            (Matryoshka); None takes the index's, or the whole for a new one.
        quantization: "int8" or "binary" for vectors in a quarter or a thirtieth of the memory
            (see `retrieval.store.quantization`); None takes the index's, or none for a new one.
            An index in memory records it and compares the full vectors all the same.
        oversampling: candidates that a quantized index orders by their full vectors, for each
            passage asked for; None takes 2 for int8 and 8 for binary. Of this retriever's
            searches, not of the index.
        token_states: keep the passages' token states ("float16", "int8" or "binary", see
            `StateFormat`), so that reranking encodes the query alone; None takes what the index
            has, or keeps none in a new one.
        token_pooling: neighbouring tokens that are kept as one.
        k: hits a search gives.
        rerank: how many first-stage results are reranked; 0 reranks none; "auto" reranks only where
            the first stage is uncertain, as calibrated for the checkpoint (`AutoRerank`, which can
            also be given, or the file that holds one).
        mode: first stage: "dense" vectors, "sparse" BM25, or "hybrid", both fused by rank.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        query_cache: keeps the hits of earlier queries; None for no cache.
        memory_budget: see `UniMoER.from_pretrained`.
        read_only: refuse changes, and open a folder that another process has open too (see
            `EdgeStore`).

    Attributes:
        stats: `SearchStats` so far: how many queries were reranked, skipped, known.

    Raises:
        InputError: an argument has a value that cannot be used, or `rerank` is "auto" and the
            checkpoint is not calibrated for this mode.
        IndexMismatchError: the index was built with another model, chunking, size of vectors,
            quantization or token states.
        IndexLockedError: another process has the index open.
        StoreError: the server is down or refuses the key.

    >>> retriever = UnifiedRetriever(index="handbook.index")           # doctest: +SKIP
    >>> retriever.add_path("handbook")                                 # doctest: +SKIP
    >>> retriever.search("how do refunds work?")[0].text               # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | UniMoER | None = None,
        *,
        index: str | Path | None = None,
        url: str | None = None,
        api_key: str | None = None,
        collection: str = "unimoer",
        chunking: ChunkingChoice = None,
        dimensions: int | None = None,
        quantization: Quantization | None = None,
        oversampling: float | None = None,
        token_states: Precision | None = None,
        token_pooling: int = 1,
        k: int = 5,
        rerank: Rerank = 50,
        mode: Mode = "dense",
        device: str = "auto",
        dtype: str = "auto",
        query_cache: QueryCache | None = None,
        memory_budget: str | int | None = None,
        read_only: bool = False,
    ) -> None:
        if index is not None and url is not None:
            raise InputError("give either index (a folder) or url (a server), not both")
        if isinstance(rerank, int):
            check_settings(k, rerank, mode)  # before a model is loaded
        if isinstance(chunking, str) and chunking != WHOLE:
            raise InputError(f"chunking is {chunking!r}: expected a Chunking, {WHOLE!r} or None")
        form = state_format(token_states, token_pooling)
        if model is None:
            model = model_of_index(index=index, url=url, api_key=api_key, collection=collection)
        self.model = (
            model
            if isinstance(model, UniMoER)
            else UniMoER.from_pretrained(
                model, device=device, dtype=dtype, memory_budget=memory_budget
            )
        )
        self.rerank: int | AutoRerank = resolve(rerank, self.model)
        check_settings(k, self.rerank, mode)
        self.k, self.mode = k, mode
        if form is not None:
            late_task(self.model)  # refuses a model that has none to keep
        self.query_cache = QueryCache(0) if query_cache is None else query_cache
        self.query_cache.attach()
        self.engine = Engine.of(self.model)
        encoder = BM25Encoder()
        self.store = open_store(
            self.model,
            index=index,
            url=url,
            api_key=api_key,
            collection=collection,
            dimensions=dimensions,
            quantization=quantization,
            oversampling=oversampling,
            read_only=read_only,
        )
        where = shown_url(url) if url else str(index or "memory")
        try:
            self.chunking, self.token_states = agree(
                self.store, self.model, chunking, encoder, token_states=form, where=where
            )
            parts = (self.engine, self.store, encoder, self.query_cache, self.token_states)
            home = None if index is None else Path(index)
            self._indexer = Indexer(*parts, chunking=self.chunking, home=home)
            self._searcher = Searcher(*parts)
        except BaseException:
            self.store.close()
            raise

    # -- documents in -----------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[str | Document],
        *,
        source: str = "text",
        replace: bool = True,
        on_progress: OnReport = lambda report: None,
    ) -> AddReport:
        """Index texts or documents; what is there already is left alone.

        A document takes the place of its earlier version: the one with its source and
        `document_id`, or without an id, with its source and title. Those of one call are all kept.
        Texts never replace another: each gets a source of its own, made from its content.

        Args:
            documents: texts or documents.
            source: texts get the sources `<source>/<hash of the text>`.
            replace: let documents take the place of earlier ones. Without it they are only added,
                in memory that does not grow with the index.
            on_progress: called with the report after every batch.
        """
        return self._indexer.add(documents, source=source, replace=replace, on_progress=on_progress)

    def add_path(
        self,
        path: str | Path,
        *,
        sync: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        ignore_files: bool = True,
        follow_links: bool = False,
        on_progress: OnReport = lambda report: None,
    ) -> AddReport:
        """Index a file, a folder, a JSONL file or a BEIR folder.

        What cannot be read is reported, the rest is indexed. A changed file's old passages go;
        those of a file that is gone stay, unless `sync` is asked for.

        Args:
            path: what to index.
            sync: afterwards the index holds of the path just what is read there now: what it held
                of files that are gone or left out, and of rows that are gone, is removed. What
                could not be read keeps what it had.
            include: globs, of which files in a folder must match one, written as in a
                `.gitignore`; none for all files.
            exclude: globs of files and folders that are passed over.
            ignore_files: pass over what `.gitignore` files name, `node_modules` and `__pycache__`.
            follow_links: read what links lead to outside the folder, too.
            on_progress: called with the report after every batch.

        Raises:
            ReadError: there is nothing to read at the path.
            InputError: a glob cannot be used, or `sync` finds nothing where the index holds some.
        """
        selection = Selection(include, exclude, ignore_files, follow_links)
        return self._indexer.add_path(path, sync=sync, selection=selection, on_progress=on_progress)

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id, or by filters such as `{"source": "handbook/refunds.md"}`.

        Returns:
            How many were removed.
        """
        return self._indexer.delete(ids, filters=filters)

    # -- hits out ---------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
        on_stage: OnStage = ignore_stage,
    ) -> list[Hit]:
        """The best passages for a query, best first.

        Args:
            query: what to look for.
            k: hits to give, in place of the retriever's.
            rerank: first-stage results to rerank; 0 for none; "auto" or an `AutoRerank`: only where
                the first stage is uncertain, and `Hit.rerank` is None elsewhere. At least `k` are
                when any is.
            mode: first stage, in place of the retriever's.
            filters: conditions on source, title and metadata, such as
                `{"source": "a.md", "year": {"gte": 2020}, "tag": ["x", "y"]}`.
            on_stage: called with "retrieve" and "rerank" as each ends, for timing and tracing.
        """
        return self._searcher.run(self._plan([query], k, rerank, mode, filters), on_stage)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        *,
        k: int | None = None,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
    ) -> list[list[Hit]]:
        """`search` for many queries, which share the model's batches."""
        if isinstance(queries, str):
            raise InputError("search_batch takes a list of queries: use search for a single one")
        plan = self._plan(queries, k, rerank, mode, filters)
        return [hits for block in plan.blocks(_BLOCK) for hits in self._searcher.run(block)]

    async def asearch(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
        on_stage: OnStage = ignore_stage,
    ) -> list[Hit]:
        """`search` without blocking the event loop, nor a thread while the model works."""
        plan = self._plan([query], k, rerank, mode, filters)
        return (await self._searcher.arun(plan, on_stage))[0]

    def _plan(
        self,
        queries: Sequence[str],
        k: int | None,
        rerank: Rerank | None,
        mode: Mode | None,
        filters: Filters | None,
    ) -> Search:
        return Search.plan(
            queries,
            k=self.k if k is None else k,
            rerank=self.rerank if rerank is None else resolve(rerank, self.model),
            mode=self.mode if mode is None else mode,
            filters=filters,
        )

    def check(
        self, *, k: int | None = None, rerank: Rerank | None = None, mode: Mode | None = None
    ) -> None:
        """Refuse what no search of this retriever can have; None stands for its own setting.

        Raises:
            InputError: names the setting, its value and what is expected.
        """
        self._plan(["any"], k, rerank, mode, None)

    def to_rerank(self, hits: list[Hit], *, at_least: int) -> list[Hit]:
        """Those of a first stage's results that the retriever's `rerank` wants reranked.

        For pipelines, which rerank by themselves what `search(rerank=0)` found.

        Args:
            hits: of the retriever's mode, best first.
            at_least: so many are, where "auto" skips the rest.
        """
        auto = self.rerank if isinstance(self.rerank, AutoRerank) else None
        return self._searcher.to_rerank(hits, auto, self.mode, at_least=at_least)

    def rank_hits(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Hits of this index reranked for a query, best first.

        Raises:
            InputError: the query is empty.
        """
        return self._searcher.rank(query, hits)

    async def arank_hits(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """`rank_hits` without blocking the event loop."""
        return await self._searcher.arank(query, hits)

    @property
    def stats(self) -> SearchStats:
        """What the searches so far took and were spared."""
        return self._searcher.stats

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

    @property
    def dimensions(self) -> int:
        """Length of the index's vectors."""
        return self.store.dimension

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
