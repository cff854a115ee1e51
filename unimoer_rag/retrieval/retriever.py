"""UnifiedRetriever: one model that indexes, finds and reranks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model.jobs import embedding, embedding_size
from unimoer_rag.model.state_format import Precision, StateFormat
from unimoer_rag.model.state_jobs import indexing, late_task
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.auto_rerank import AutoRerank, Rerank, resolve
from unimoer_rag.retrieval.chunking import Chunker, Chunking, whole
from unimoer_rag.retrieval.identity import WHOLE, ChunkingChoice, agree
from unimoer_rag.retrieval.ingest import AddReport, Embedded, Progress, ingest
from unimoer_rag.retrieval.query_cache import Lookup, QueryCache
from unimoer_rag.retrieval.search import Filters, Mode, Search, check_settings, rank_job, reordered
from unimoer_rag.retrieval.sources import scan
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.states import StoredStates
from unimoer_rag.retrieval.stats import Counter, SearchStats
from unimoer_rag.retrieval.store import EdgeStore, Quantization, ServerStore, Store
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
        model: str | Path | UniMoER = "unimoer-minilm",
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
    ) -> None:
        if index is not None and url is not None:
            raise InputError("give either index (a folder) or url (a server), not both")
        if isinstance(rerank, int):
            check_settings(k, rerank, mode)  # before a model is loaded
        if isinstance(chunking, str) and chunking != WHOLE:
            raise InputError(f"chunking is {chunking!r}: expected a Chunking, {WHOLE!r} or None")
        form = _state_format(token_states, token_pooling)
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
        self.query_cache = QueryCache(0) if query_cache is None else query_cache
        self.query_cache.attach()
        self._counter = Counter()
        if form is not None:
            late_task(self.model)  # refuses a model that has none to keep
        self.engine = Engine.of(self.model)
        self._encoder = BM25Encoder()
        vectors = {
            "dimension": _lengths(self.model, dimensions),
            "quantization": quantization,
            "oversampling": oversampling,
        }
        self.store = _open(index, url, api_key, collection, vectors)
        where = str(url or index or "memory")
        try:
            self.chunking, self.token_states = agree(
                self.store, self.model, chunking, self._encoder, token_states=form, where=where
            )
            cut = self.chunking if isinstance(self.chunking, Chunking) else None
            self._chunker = Chunker(self.model.tokenizer.backend_tokenizer, cut)
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
        with self.query_cache.writing():
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
        if self.token_states is None:
            job = embedding(self.model, texts, "document", dimensions=self.dimensions)
            return Embedded(self.engine.submit(job).result(), job.n_truncated)
        both = indexing(self.model, texts, self.token_states, dimensions=self.dimensions)
        vectors, states = self.engine.submit(both).result()
        return Embedded(vectors, both.n_truncated, states)

    @property
    def _stored(self) -> StoredStates | None:
        return StoredStates(self.store, self.token_states) if self.token_states else None

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id, or by filters such as `{"source": "handbook/refunds.md"}`.

        Returns:
            How many were removed.
        """
        with self.query_cache.writing():
            removed = self.store.delete(ids, filters=filters)
            self.store.flush()
        return removed

    # -- hits out ---------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
        on_stage: OnStage = _ignore,
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
        return self._search(self._plan([query], k, rerank, mode, filters), on_stage)[0]

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
        return [hits for block in plan.blocks(_BLOCK) for hits in self._search(block)]

    async def asearch(
        self,
        query: str,
        *,
        k: int | None = None,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: Filters | None = None,
        on_stage: OnStage = _ignore,
    ) -> list[Hit]:
        """`search` without blocking the event loop, nor a thread while the model works."""
        lookup = self.query_cache.look_up(self._plan([query], k, rerank, mode, filters))
        found: list[list[Hit]] = []
        ranked: list[list[Hit]] = []
        if lookup.left.queries:
            job = await asyncio.to_thread(lookup.left.embedding, self.model, self.dimensions)
            vectors = lookup.near(await asyncio.wrap_future(self.engine.submit(job)))
            found = await asyncio.to_thread(lookup.left.find, vectors, self.store, self._encoder)
        on_stage("retrieve")
        if found:
            jobs = await asyncio.to_thread(lookup.left.rankings, self.model, found, self._stored)
            scores = [await asyncio.wrap_future(self.engine.submit(job)) for job in jobs]
            ranked = lookup.left.rank(found, scores)
        on_stage("rerank")
        return self._finish(lookup, found, ranked)[0]

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

    def _search(self, plan: Search, on_stage: OnStage = _ignore) -> list[list[Hit]]:
        lookup = self.query_cache.look_up(plan)
        found: list[list[Hit]] = []
        ranked: list[list[Hit]] = []
        if lookup.left.queries:
            vectors = self.engine.submit(
                lookup.left.embedding(self.model, self.dimensions)
            ).result()
            vectors = lookup.near(vectors)
            found = lookup.left.find(vectors, self.store, self._encoder)
        on_stage("retrieve")
        if found:
            # All are queued before the first is awaited, so that they share batches.
            jobs = lookup.left.rankings(self.model, found, self._stored)
            futures = [self.engine.submit(job) for job in jobs]
            ranked = lookup.left.rank(found, [future.result() for future in futures])
        on_stage("rerank")
        return self._finish(lookup, found, ranked)

    def _finish(
        self, lookup: Lookup, found: Sequence[Sequence[Hit]], ranked: Sequence[list[Hit]]
    ) -> list[list[Hit]]:
        """The hits of a search's every query, counted and kept."""
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
        return lookup.finish(ranked)

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
        auto = self.rerank if isinstance(self.rerank, AutoRerank) and hits else None
        skipped = auto is not None and auto.skips(hits, self.mode)
        self._counter.count(reranked=bool(hits) and not skipped, skipped=skipped)
        return hits[:at_least] if skipped else hits

    def rank_hits(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Hits of this index reranked for a query, best first.

        Raises:
            InputError: the query is empty.
        """
        if not hits:
            return []
        job = rank_job(self.model, clean_text(query), hits, self._stored)
        return reordered(hits, self.engine.submit(job).result())

    async def arank_hits(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """`rank_hits` without blocking the event loop."""
        if not hits:
            return []
        job = await asyncio.to_thread(rank_job, self.model, clean_text(query), hits, self._stored)
        return reordered(hits, await asyncio.wrap_future(self.engine.submit(job)))

    @property
    def stats(self) -> SearchStats:
        """What the searches so far took and were spared."""
        return self._counter.stats

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


def _lengths(model: UniMoER, dimensions: int | None) -> tuple[int, ...]:
    """The lengths of vectors that will do, that of a new index first."""
    if dimensions is None:
        return (model.dimension, *model.task("embed").dimensions)
    return (embedding_size(model, dimensions),)


def _open(
    index: str | Path | None,
    url: str | None,
    api_key: str | None,
    collection: str,
    vectors: Mapping[str, Any],
) -> Store:
    if url is not None:
        return ServerStore.connect(url, api_key=api_key, collection=collection, **vectors)
    if index is not None:
        return EdgeStore(index, **vectors)
    return ServerStore.memory(**vectors)


def _state_format(precision: Precision | None, pooling: int) -> StateFormat | None:
    if precision is not None:
        return StateFormat(precision, pooling)
    if pooling != 1:
        raise InputError(
            f"token_pooling is {pooling!r} without token_states: say how they are kept, such as "
            "token_states='int8'"
        )
    return None


def _named(text: object, source: str, at: int) -> Document:
    if not isinstance(text, str):
        raise InputError(f"document {at} is a {type(text).__name__}: expected a str or a Document")
    name = hashlib.sha256(clean_text(text).encode()).hexdigest()[:16]
    return Document(text=text, source=f"{source}/{name}")
