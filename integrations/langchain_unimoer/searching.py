"""The searches of a vector store, by steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from numpy.typing import NDArray

from langchain_unimoer.documents import to_filters
from langchain_unimoer.index_embeddings import IndexEmbeddings
from langchain_unimoer.spellings import refuse_unknown
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import clean_text, legible_text, types
from unimoer_rag.steps import Steps, either

if TYPE_CHECKING:
    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["SEARCH_SETTINGS", "Diversity", "searched"]

SEARCH_SETTINGS = ("k", "filter", "rerank", "mode")


def searched(
    retriever: UnifiedRetriever, query: str, k: int, settings: Mapping[str, Any]
) -> Steps[list[types.Hit]]:
    """The hits of a query, best first.

    Raises:
        InputError: the query is empty, or a setting is unknown or cannot be used.
    """
    refuse_unknown(settings, SEARCH_SETTINGS, of="a search")
    hits: list[types.Hit] = yield from either(
        retriever.search,
        retriever.asearch,
        query,
        k=k,
        rerank=settings.get("rerank"),
        mode=settings.get("mode"),
        filters=to_filters(settings.get("filter")),
    )
    return hits


class Diversity:
    """Maximal marginal relevance (Carbonell and Goldstein 1998) over an index's vectors.

    Args:
        retriever: finds the candidates.
        embeddings: those of its index.
        fetch_k: candidates.
        lambda_mult: weight of nearness to the query, in [0, 1]; the rest is that of difference.

    Raises:
        InputError: a number has a value that cannot be used.
    """

    def __init__(
        self,
        retriever: UnifiedRetriever,
        embeddings: IndexEmbeddings,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
    ) -> None:
        if isinstance(fetch_k, bool) or not isinstance(fetch_k, int) or fetch_k < 1:
            raise InputError(f"fetch_k is {fetch_k!r}: expected a number of candidates, at least 1")
        if not isinstance(lambda_mult, int | float) or not 0 <= lambda_mult <= 1:
            raise InputError(f"lambda_mult is {lambda_mult!r}: expected a number from 0 to 1")
        self._retriever, self._embeddings = retriever, embeddings
        self._fetch_k, self._lambda = fetch_k, lambda_mult

    def searched(self, query: str, k: int, settings: Mapping[str, Any]) -> Steps[list[types.Hit]]:
        """The hits for a query; candidates are reranked only where `rerank` is given."""
        self._retriever.check(k=k)
        candidates = {"rerank": 0, **settings}
        hits = yield from searched(self._retriever, query, max(k, self._fetch_k), candidates)
        asked = yield from self._embeddings.vectors([legible_text(clean_text(query))], "query")
        return (yield from self._chosen(asked[0], hits, k))

    def by_vector(
        self, vector: Sequence[float], k: int, filters: Mapping[str, Any] | None
    ) -> Steps[list[types.Hit]]:
        """The hits for a vector."""
        hits = self.near(vector, max(k, self._fetch_k), filters)
        return (yield from self._chosen(np.asarray(vector, np.float32), hits, k))

    def near(
        self, vector: Sequence[float], k: int, filters: Mapping[str, Any] | None
    ) -> list[types.Hit]:
        """The hits nearest to a vector by cosine."""
        self._retriever.check(k=k)
        [found] = self._retriever.store.search_dense(
            np.asarray([vector], np.float32), limit=k, filters=to_filters(filters)
        )
        return [types.Hit(one.passage, dense=one.score) for one in found]

    def _chosen(
        self, asked: NDArray[np.float32], hits: Sequence[types.Hit], k: int
    ) -> Steps[list[types.Hit]]:
        if not hits:
            return []
        texts = [hit.passage.content for hit in hits]
        vectors: Any = yield from self._embeddings.vectors(texts, "document")
        chosen = maximal_marginal_relevance(asked, vectors, lambda_mult=self._lambda, k=k)
        return [hits[at] for at in chosen]
