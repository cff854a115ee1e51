"""UnifiedRetriever: one model that indexes, finds and reranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from unimoer_rag.closing import Closing
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model import UniMoER
from unimoer_rag.retrieval.assembling import assemble
from unimoer_rag.retrieval.auto_rerank import AutoRerank, Rerank, resolve
from unimoer_rag.retrieval.foreign_opening import place_of
from unimoer_rag.retrieval.ingest import AddReport, OnReport
from unimoer_rag.retrieval.opening import open_store
from unimoer_rag.retrieval.parts import check_mode, check_parts, load_embedding, load_ranking
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.search import Filters, Mode, Search
from unimoer_rag.retrieval.searcher import Floats, OnStage, ignore_stage
from unimoer_rag.retrieval.selecting import Selection
from unimoer_rag.retrieval.settings import RetrieverSettings, takes_settings
from unimoer_rag.retrieval.stats import SearchStats
from unimoer_rag.retrieval.store.payload_mapping import DETECT, PayloadMapping
from unimoer_rag.retrieval.types import Hit
from unimoer_rag.steps import arun, run

if TYPE_CHECKING:
    from langchain_unimoer import UniMoERRetriever, UniMoERVectorStore
    from llama_index.retrievers.unimoer import UniMoERIndexRetriever
    from qdrant_client import QdrantClient

__all__ = ["Filters", "Mode", "OnStage", "UnifiedRetriever"]


class UnifiedRetriever(Closing):
    """Indexes documents and answers queries with reranked passages, all on one loaded model.

    It takes the settings of `RetrieverSettings` by their names, `model` also as the first argument;
    `help(UnifiedRetriever.__init__)` tells what each of them means.

    Attributes:
        settings: what it was given.
        embeds: what embeds; the loaded model itself, where it is one of ours.
        ranks: what ranks; None where nothing does, and nothing is reranked then.
        stats: `SearchStats` so far: how many queries were reranked, skipped, known.

    Raises:
        InputError: a setting has a value that cannot be used, or `rerank` is "auto" and the
            checkpoint is not calibrated for this mode.
        IndexMismatchError: the index was built with another model, chunking, language, size of
            vectors, quantization or token states.
        IndexLockedError: another process has the index open.
        StoreError: the server is down or refuses the key.

    >>> retriever = UnifiedRetriever(index="handbook.index")           # doctest: +SKIP
    >>> retriever.add_path("handbook")                                 # doctest: +SKIP
    >>> retriever.search("how do refunds work?")[0].text               # doctest: +SKIP
    """

    @takes_settings(RetrieverSettings)
    def __init__(self, settings: RetrieverSettings) -> None:
        self._open(settings)

    @classmethod
    def open_collection(
        cls,
        place: str | Path | QdrantClient,
        collection: str,
        *,
        mapping: PayloadMapping | str = DETECT,
        **settings: Any,
    ) -> Self:
        """A Qdrant collection that LangChain, LlamaIndex or Haystack wrote, to search and rerank.

        It is never written. The model must be the one that wrote it, which a few of its points
        tell. Filters name metadata as the other library's users do; hits have its ids as their
        `document_id`. BM25 needs sparse vectors of our `BM25Encoder`.

        Args:
            place: a server's URL, the folder of a `QdrantClient(path=...)`, or a client, which the
                caller closes.
            collection: its name.
            mapping: "langchain", "llama-index", "haystack", or "auto" for whichever its payloads
                say; a `PayloadMapping` for other names.
            settings: others of `RetrieverSettings`.

        Raises:
            InputError: there is no such collection, or nothing in it that the mode searches.
            IndexMismatchError: another model wrote it; tells how unlike the vectors are.
        """
        where, client = place_of(place)
        opened = cls.__new__(cls)
        chosen = {**where, "collection": collection, "mapping": mapping, **settings}
        opened._open(RetrieverSettings(**chosen), client)
        return opened

    def _open(self, settings: RetrieverSettings, client: QdrantClient | None = None) -> None:
        self.settings = settings
        self.embeds = load_embedding(settings)
        self.ranks = load_ranking(settings, self.embeds)
        self.k, self.mode = settings.k, settings.mode
        self.rerank = self._depth(settings.rerank)
        self.check()
        check_parts(settings, self.embeds, self.ranks)
        self.query_cache = QueryCache(0) if settings.query_cache is None else settings.query_cache
        self.query_cache.attach()
        self.store = open_store(self.embeds, settings, client)
        try:
            made = assemble(self.store, self.embeds, self.ranks, settings, self.query_cache)
        except BaseException:
            self.store.close()
            raise
        self.chunking, self.token_states, self.language = made.chunking, made.states, made.language
        self._indexer, self._searcher = made.indexer, made.searcher

    @property
    def model(self) -> UniMoER:
        """The loaded model.

        Raises:
            InputError: what embeds is none of ours.
        """
        if not isinstance(self.embeds, UniMoER):
            raise InputError(
                f"{self.embeds.checkpoint} embeds here, which only embeds: this needs a UniMoER"
            )
        return self.embeds

    @property
    def engine(self) -> Engine:
        """The model's engine; see `model`."""
        return Engine.of(self.model)

    # -- documents in -----------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[object],
        *,
        source: str = "text",
        replace: bool = True,
        whole: bool = False,
        on_progress: OnReport = lambda report: None,
    ) -> AddReport:
        """Index texts or documents; what is there already is left alone.

        A document takes the place of its earlier version: the one with its source and
        `document_id`, or without an id, with its source and title. Those of one call are all kept.
        Texts, and a framework's documents without an id, never replace another.

        Args:
            documents: texts, our Documents, those of LangChain and Haystack, and documents and
                nodes of LlamaIndex, as they are (see `retrieval.framework_documents`).
            source: texts get the sources `<source>/<hash of the text>`.
            replace: let documents take the place of earlier ones. Without it they are only added,
                in memory that does not grow with the index.
            whole: make one passage of each, whatever the index's chunking: they are cut already.
            on_progress: called with the report after every batch.

        Raises:
            InputError: something is no document; names its type.
        """
        return self._indexer.add(
            documents, source=source, replace=replace, whole=whole, on_progress=on_progress
        )

    def add_path(
        self,
        path: str | Path,
        *,
        sync: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        ignore_files: bool = True,
        follow_links: bool = False,
        ocr: bool = True,
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
            ocr: read pictures and scanned pages, where the extra `ocr` is installed.
            on_progress: called with the report after every batch, and before every page that is
                read by OCR.

        Raises:
            ReadError: there is nothing to read at the path.
            InputError: a glob cannot be used, or `sync` finds nothing where the index holds some.
        """
        selection = Selection(include, exclude, ignore_files, follow_links, ocr)
        return self._indexer.add_path(path, sync=sync, selection=selection, on_progress=on_progress)

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id, or by filters such as `{"source": "a.md"}`; tells how many."""
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
        plan = self._plan([query], k, rerank, mode, filters)
        return run(self._searcher.search(plan, on_stage))[0]

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
        return [hits for block in plan.blocks() for hits in run(self._searcher.search(block))]

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
        return (await arun(self._searcher.search(plan, on_stage)))[0]

    def _plan(
        self,
        queries: Sequence[str],
        k: int | None,
        rerank: Rerank | None,
        mode: Mode | None,
        filters: Filters | None,
    ) -> Search:
        k, mode = self.k if k is None else k, self.mode if mode is None else mode
        check_mode(mode, self.embeds)
        depth = self.rerank if rerank is None else self._depth(rerank)
        return Search.plan(queries, k=k, rerank=depth, mode=mode, filters=filters)

    def _depth(self, rerank: Rerank) -> int | AutoRerank:
        return 0 if self.ranks is None else resolve(rerank, self.embeds)

    def check(
        self, *, k: int | None = None, rerank: Rerank | None = None, mode: Mode | None = None
    ) -> None:
        """Refuse what no search of this retriever can have; None stands for its own setting.

        Raises:
            InputError: names the setting, its value and what is expected.
        """
        self._plan(["any"], k, rerank, mode, None)

    def rank_hits(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Hits of this index reranked for a query, best first.

        Raises:
            InputError: the query is empty.
        """
        return run(self._searcher.rank(query, hits))

    async def arank_hits(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """`rank_hits` without blocking the event loop."""
        return await arun(self._searcher.rank(query, hits))

    def pair_hits(self, query: str, hits: Sequence[Hit], first: int) -> Future[Floats] | None:
        """How well two hits answer a query together, begun: logits float32 `[first, len(hits)]`.

        Each of the first hits is read as one with each (`LateScoring.together`). None where what
        ranks keeps no token states.
        """
        return self._searcher.pair(query, hits, first)

    def with_search(
        self, *, k: int | None = None, rerank: Rerank | None = None, mode: Mode | None = None
    ) -> Self:
        """The same index and models with other settings of its searches; None leaves one as it is.

        Both are one: what closes or writes either does so to the other.

        Raises:
            InputError: as for `check`.
        """
        self.check(k=k, rerank=rerank, mode=mode)
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other.k = self.k if k is None else k
        other.mode = self.mode if mode is None else mode
        other.rerank = self.rerank if rerank is None else self._depth(rerank)
        return other

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
            adapter = resolve_name("llama_index.retrievers.unimoer:UniMoERIndexRetriever")
        return cast("UniMoERIndexRetriever", adapter(self, **settings))

    def as_langchain(self, **settings: Any) -> UniMoERRetriever:
        """This retriever as a LangChain `BaseRetriever`.

        Args:
            settings: those of `UniMoERRetriever`: k, rerank, mode, filters, tags, ...

        Raises:
            MissingExtraError: LangChain is not installed.
        """
        with needs_extra("langchain_core", "langchain", "as_langchain"):
            adapter = resolve_name("langchain_unimoer:UniMoERRetriever")

        return cast("UniMoERRetriever", adapter(retriever=self, **settings))

    def as_langchain_store(self) -> UniMoERVectorStore:
        """This retriever's index as a LangChain `VectorStore`.

        Raises:
            MissingExtraError: LangChain is not installed.
        """
        with needs_extra("langchain_core", "langchain", "as_langchain_store"):
            adapter = resolve_name("langchain_unimoer:UniMoERVectorStore")

        return cast("UniMoERVectorStore", adapter(self))

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
