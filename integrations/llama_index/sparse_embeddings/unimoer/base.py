"""BM25 as sparse vectors, for vector stores that search by both kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
from llama_index.core.bridge.pydantic import ConfigDict, Field

from unimoer_rag.retrieval import BM25Encoder, check_language

if TYPE_CHECKING:
    from qdrant_client.models import SparseVectorParams

    from unimoer_rag.retrieval import SparseVector

__all__ = ["UniMoERSparseEmbedding"]


class UniMoERSparseEmbedding(BaseSparseEmbedding):
    """Weighs words as BM25 does, like the sparse half of a `UnifiedRetriever`; needs no model.

    The dot product of a query's and a text's vector is BM25 once each dimension is scaled by its
    IDF. Qdrant does so where the collection says it: give `params` as `sparse_config`. Without it
    frequent words count as much as rare ones.

    Args:
        language: of texts and queries, which stems words; "any" takes them as they stand.
        base: embed_batch_size and num_workers of LlamaIndex.

    Raises:
        InputError: there is no such language.

    >>> bm25 = UniMoERSparseEmbedding()
    >>> store = QdrantVectorStore(                                     # doctest: +SKIP
    ...     "handbook", client=client, enable_hybrid=True, sparse_config=bm25.params,
    ...     sparse_doc_fn=bm25.documents, sparse_query_fn=bm25.queries,
    ... )
    """

    model_config = ConfigDict(extra="forbid")

    language: str = Field(frozen=True, description="Language of texts and queries.")

    def __init__(self, language: str = "english", **base: Any) -> None:
        check_language(language)
        settings: dict[str, Any] = {"language": language, "model_name": "bm25"}
        super().__init__(**{**settings, **base})

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised objects."""
        return "UniMoERSparseEmbedding"

    @property
    def params(self) -> SparseVectorParams:
        """How a Qdrant collection keeps these vectors: with their IDF."""
        from qdrant_client.models import Modifier, SparseVectorParams

        return SparseVectorParams(modifier=Modifier.IDF)

    def documents(self, texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
        """The vectors of texts, as `sparse_doc_fn` of a `QdrantVectorStore`.

        Returns:
            The dimensions of each text that are not zero, and their values.
        """
        return _apart(list(map(self._encoder.document, texts)))

    def queries(self, texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
        """The vectors of queries, as `sparse_query_fn` of a `QdrantVectorStore`."""
        return _apart(list(map(self._encoder.query, texts)))

    @property
    def _encoder(self) -> BM25Encoder:
        return BM25Encoder(language=self.language)

    def _get_text_embedding(self, text: str) -> dict[int, float]:
        return _mapping(self._encoder.document(text))

    async def _aget_text_embedding(self, text: str) -> dict[int, float]:
        return self._get_text_embedding(text)

    def _get_query_embedding(self, query: str) -> dict[int, float]:
        return _mapping(self._encoder.query(query))

    async def _aget_query_embedding(self, query: str) -> dict[int, float]:
        return self._get_query_embedding(query)


def _apart(vectors: list[SparseVector]) -> tuple[list[list[int]], list[list[float]]]:
    return [list(one.indices) for one in vectors], [list(one.values) for one in vectors]


def _mapping(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))
