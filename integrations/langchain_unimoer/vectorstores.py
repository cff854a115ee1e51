"""`UnifiedRetriever` as a LangChain vector store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from langchain_unimoer.by_id import ById
from langchain_unimoer.documents import to_filters
from langchain_unimoer.index_embeddings import IndexEmbeddings, model_of
from langchain_unimoer.relevance import check_threshold, relevance
from langchain_unimoer.searching import SEARCH_SETTINGS, Diversity, searched
from langchain_unimoer.spellings import refuse_unknown
from langchain_unimoer.stored import to_found, to_stored
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import types
from unimoer_rag.steps import arun, run

if TYPE_CHECKING:
    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["UniMoERVectorStore"]

_Filter = Mapping[str, Any]


class UniMoERVectorStore(VectorStore):
    """The index of a `UnifiedRetriever`, as LangChain's indexing, retrievers and tools expect it.

    A document's id is its own in the whole index: another one with that id takes its place, of
    whatever source. Without one it gets that of its text and metadata, so that adding it twice
    changes nothing. What was given comes back: the text without white space around it, and the
    metadata as `unimoer_rag.retrieval.coercion` makes them.

    An index with chunking "whole", as `from_texts` makes it, keeps each document as one passage.
    One that cuts documents finds passages of them: each has its document's id, and `start_index`
    and `end_index` among its metadata; `delete` and `get_by_ids` take or give all passages of an
    id. Passages that came in without an id, such as those of files, have an id of their own.

    Searches take `filter`, conditions on source, title and metadata, and of the retriever's
    settings `rerank` and `mode` for one call.

    Args:
        retriever: whose index it is; whoever made it closes it.

    Raises:
        InputError: it is no UnifiedRetriever; of a call: a setting is unknown or cannot be used.

    >>> unified = UnifiedRetriever(index="faq.index", chunking="whole")    # doctest: +SKIP
    >>> store = UniMoERVectorStore(unified)                                # doctest: +SKIP
    >>> store.add_documents(documents, ids=ids)                            # doctest: +SKIP
    >>> store.as_retriever(search_type="mmr", search_kwargs={"k": 3})      # doctest: +SKIP
    """

    def __init__(self, retriever: UnifiedRetriever) -> None:
        from unimoer_rag.retrieval import WHOLE, UnifiedRetriever

        if not isinstance(retriever, UnifiedRetriever):
            raise InputError(
                f"a UniMoERVectorStore is of a UnifiedRetriever, not a {type(retriever).__name__}: "
                "write UniMoERVectorStore(UnifiedRetriever(...)), or from_texts"
            )
        self.retriever = retriever
        self._whole = retriever.chunking == WHOLE
        self._embeddings, self._by_id = IndexEmbeddings(retriever), ById(retriever)

    @property
    def embeddings(self) -> Embeddings:
        """What embeds here, on the same weights."""
        return self._embeddings

    # -- documents in -----------------------------------------------------------------------

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **settings: Any,
    ) -> Self:
        """A store of these texts, each kept whole.

        An index on disk is open until `store.retriever.close()`.

        Args:
            texts: to index.
            embedding: a `UniMoEREmbeddings` names the model; None leaves it to `settings`.
            metadatas: one mapping for each text.
            ids: one for each text; it may be None.
            settings: those of `RetrieverSettings`, such as model, index, url, mode or dtype.

        Raises:
            InputError: there are not as many metadatas or ids as texts, a setting is unknown or
                cannot be used, or something else embeds; nothing is indexed.

        >>> UniMoERVectorStore.from_texts(["Refunds take 14 days."], ids=["1"])  # doctest: +SKIP
        """
        return cls._made(_documents(texts, metadatas), embedding, ids, settings)

    @classmethod
    def from_documents(
        cls,
        documents: list[Document],
        embedding: Embeddings | None = None,
        *,
        ids: list[str] | None = None,
        **settings: Any,
    ) -> Self:
        """`from_texts` of documents, which may have ids of their own."""
        return cls._made(list(documents), embedding, ids, settings)

    @classmethod
    def _made(
        cls,
        documents: list[Document],
        embedding: Embeddings | None,
        ids: Sequence[str | None] | None,
        settings: dict[str, Any],
    ) -> Self:
        from unimoer_rag.retrieval import DECLARED, WHOLE, UnifiedRetriever

        refuse_unknown(settings, DECLARED, of=cls.__name__)
        stored = to_stored(documents, ids)  # first: a bad document leaves no new index behind
        named = {"chunking": WHOLE, **settings, **model_of(embedding)}
        retriever = UnifiedRetriever(**named)
        try:
            store = cls(retriever)
            store._by_id.put(stored)
        except BaseException:
            retriever.close()
            raise
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **others: Any,
    ) -> list[str]:
        """`add_documents` of texts, with a mapping of metadata for each or for none."""
        return self.add_documents(_documents(texts, metadatas), ids=ids, **others)

    def add_documents(
        self,
        documents: Iterable[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **others: Any,
    ) -> list[str]:
        """Index documents; one whose id is there already takes its place.

        Args:
            documents: to index. `metadata["source"]` names a document's source, its id does where
                there is none; `metadata["title"]` is embedded with it.
            ids: one for each document, before its own.
            batch_size: not used: the model has batches of its own.
            others: there are no others.

        Returns:
            The id of each, in order.

        Raises:
            InputError: something is no document, or an id is none; nothing is indexed.
        """
        refuse_unknown(others, ("ids", "batch_size"), of="add_documents")
        return self._by_id.put(to_stored(documents, ids))

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: _Filter | None = None, **others: Any
    ) -> bool:
        """Remove documents by id, or by a filter; ids that are not there are passed over.

        Returns:
            True, as LangChain expects where nothing failed.

        Raises:
            InputError: neither or both are given.
        """
        refuse_unknown(others, ("ids", "filter"), of="delete")
        if (ids is None) == (filter is None):
            raise InputError("delete needs ids or a filter: exactly one of them")
        if ids is None:
            self.retriever.delete(filters=to_filters(filter))
        else:
            self._by_id.remove(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in this order; absent ones are left out."""
        return [to_found(passage, whole=self._whole) for passage in self._by_id.passages(ids)]

    # -- documents out ----------------------------------------------------------------------

    def similarity_search(self, query: str, k: int = 4, **settings: Any) -> list[Document]:
        """The best documents for a query, as the retriever finds and reranks them.

        Args:
            query: what to look for.
            k: documents to give.
            settings: filter, rerank, mode.

        Raises:
            InputError: the query is empty, or a setting is unknown or cannot be used.
        """
        return [self._found(hit) for hit in run(searched(self.retriever, query, k, settings))]

    async def asimilarity_search(self, query: str, k: int = 4, **settings: Any) -> list[Document]:
        """`similarity_search` without blocking the event loop, nor a thread meanwhile."""
        hits = await arun(searched(self.retriever, query, k, settings))
        return [self._found(hit) for hit in hits]

    def similarity_search_with_score(  # type: ignore[override]
        self, query: str, k: int = 4, **settings: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search`, each with the score of the last stage that ran; higher is better."""
        return self._scored(run(searched(self.retriever, query, k, settings)), _score)

    async def asimilarity_search_with_score(  # type: ignore[override]
        self, query: str, k: int = 4, **settings: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score` without blocking the event loop."""
        return self._scored(await arun(searched(self.retriever, query, k, settings)), _score)

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **settings: Any
    ) -> list[tuple[Document, float]]:
        return self._scored(run(searched(self.retriever, query, k, settings)), relevance)

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **settings: Any
    ) -> list[tuple[Document, float]]:
        return self._scored(await arun(searched(self.retriever, query, k, settings)), relevance)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: _Filter | None = None, **others: Any
    ) -> list[Document]:
        """The documents nearest to a vector by cosine; nothing is reranked without a query."""
        refuse_unknown(others, ("k", "filter"), of="a search by vector")
        hits = Diversity(self.retriever, self._embeddings).near(embedding, k, filter)
        return [self._found(hit) for hit in hits]

    # -- documents that differ --------------------------------------------------------------

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **settings: Any,
    ) -> list[Document]:
        """Documents that are near the query and differ from each other (Carbonell, Goldstein 1998).

        Both are told by cosines of the index's vectors; for them the candidates are embedded
        again.

        Args:
            query: what to look for.
            k: documents to give.
            fetch_k: candidates, at least `k`: the best by the first stage.
            lambda_mult: from 0, as different as possible, to 1, as near the query as possible.
            settings: filter, mode, and rerank, by which the candidates are chosen then.

        Raises:
            InputError: the query is empty, or a setting is unknown or cannot be used.
        """
        diversity = Diversity(self.retriever, self._embeddings, fetch_k, lambda_mult)
        return [self._found(hit) for hit in run(diversity.searched(query, k, settings))]

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **settings: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search` without blocking the event loop."""
        diversity = Diversity(self.retriever, self._embeddings, fetch_k, lambda_mult)
        return [self._found(hit) for hit in await arun(diversity.searched(query, k, settings))]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: _Filter | None = None,
        **others: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search` for a vector."""
        refuse_unknown(others, ("k", "fetch_k", "lambda_mult", "filter"), of="a search by vector")
        diversity = Diversity(self.retriever, self._embeddings, fetch_k, lambda_mult)
        return [self._found(hit) for hit in run(diversity.by_vector(embedding, k, filter))]

    # -- the rest ---------------------------------------------------------------------------

    def as_retriever(self, **settings: Any) -> VectorStoreRetriever:
        """A retriever of this store; see `VectorStore.as_retriever`.

        Args:
            settings: search_type ("similarity", "similarity_score_threshold" or "mmr"),
                search_kwargs (k, filter, rerank, mode, score_threshold, fetch_k, lambda_mult), tags
                and others of a `VectorStoreRetriever`.

        Raises:
            InputError: something in `search_kwargs` is unknown or cannot be used.
            ValidationError: LangChain refuses a setting (also a ValueError).
        """
        from unimoer_rag.retrieval import parse_filters

        given = settings.get("search_kwargs") or {}
        kind = settings.get("search_type", "similarity")
        own = {
            "mmr": ("fetch_k", "lambda_mult"),
            "similarity_score_threshold": ("score_threshold",),
        }.get(kind, ())
        refuse_unknown(given, (*SEARCH_SETTINGS, *own), of=f"search_type {kind!r}")
        self.retriever.check(**{name: given.get(name) for name in ("k", "rerank", "mode")})
        parse_filters(to_filters(given.get("filter")))
        Diversity(self.retriever, self._embeddings, **_some(given, "fetch_k", "lambda_mult"))
        if "score_threshold" in given:
            check_threshold(given["score_threshold"])
        return super().as_retriever(**settings)

    def _found(self, hit: types.Hit) -> Document:
        return to_found(hit.passage, whole=self._whole)

    def _scored(
        self, hits: Iterable[types.Hit], score: Callable[[types.Hit], float]
    ) -> list[tuple[Document, float]]:
        return [(self._found(hit), score(hit)) for hit in hits]


def _documents(texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None) -> list[Document]:
    given = list(texts)
    told: Sequence[dict[str, Any]] = [{}] * len(given) if metadatas is None else metadatas
    if len(told) != len(given):
        raise InputError(f"{len(told)} metadatas for {len(given)} texts: give one for each")
    pairs = zip(given, told, strict=True)
    return [Document(page_content=text, metadata=metadata) for text, metadata in pairs]


def _some(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _score(hit: types.Hit) -> float:
    return hit.score
