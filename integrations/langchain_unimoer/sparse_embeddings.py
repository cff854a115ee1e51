"""BM25 as sparse embeddings, for the hybrid search of langchain-qdrant."""

from __future__ import annotations

from typing import Any

from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from qdrant_client import models

from unimoer_rag.retrieval import BM25Encoder

__all__ = ["UniMoERSparseEmbeddings"]


class UniMoERSparseEmbeddings(SparseEmbeddings):  # type: ignore[misc]  # not seen by mypy
    """The words of texts as the sparse vectors of `UnifiedRetriever`: BM25, without a model.

    They hold a document's share of BM25; the collection has to apply the IDF, so make it with
    `vector_params`.

    Args:
        language: of the texts, whose words are stemmed; "any" for words as they stand.
        k1: how slowly repetitions of a word saturate.
        b: how much a long text is discounted.
        average_length: words in a text of average length, stop words left out.

    Raises:
        InputError: there is no such language.

    >>> sparse = UniMoERSparseEmbeddings()                             # doctest: +SKIP
    >>> QdrantVectorStore.from_documents(                              # doctest: +SKIP
    ...     documents,
    ...     UniMoEREmbeddings(),
    ...     sparse_embedding=sparse,
    ...     sparse_vector_params=sparse.vector_params,
    ...     retrieval_mode=RetrievalMode.HYBRID,
    ...     location=":memory:",
    ... )
    """

    def __init__(
        self,
        language: str = "english",
        *,
        k1: float = BM25Encoder().k1,
        b: float = BM25Encoder().b,
        average_length: float = BM25Encoder().average_length,
    ) -> None:
        self._encoder = BM25Encoder(k1=k1, b=b, average_length=average_length, language=language)

    @property
    def vector_params(self) -> dict[str, Any]:
        """What a collection needs to know of these vectors: that IDF is applied to them."""
        return {"modifier": models.Modifier.IDF}

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """The weights of each text's words."""
        return [_vector(self._encoder.document(text)) for text in texts]

    def embed_query(self, text: str) -> SparseVector:
        """How often each word is in a query; empty where it holds none but stop words."""
        return _vector(self._encoder.query(text))


def _vector(weights: Any) -> SparseVector:
    return SparseVector(indices=list(weights.indices), values=list(weights.values))
