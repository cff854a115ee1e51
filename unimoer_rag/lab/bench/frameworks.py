"""The usual stack in either framework: sentence-transformers, a cross-encoder and local Qdrant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.extras import needs_extra

__all__ = ["LlamaIndexSearch", "check_frameworks", "ingest_langchain", "ingest_llama_index"]

_COLLECTION = "passages"
# Points handed to Qdrant at a time.
_BLOCK = 1000


def check_frameworks(purpose: str) -> None:
    """Import what the stacks need.

    Raises:
        MissingExtraError: a package of the extra `rivals` is not installed.
    """
    with needs_extra("llama_index.embeddings.huggingface", "rivals", purpose):
        import llama_index.embeddings.huggingface
    with needs_extra("llama_index.vector_stores.qdrant", "rivals", purpose):
        import llama_index.vector_stores.qdrant
    with needs_extra("llama_index.postprocessor.sbert_rerank", "rivals", purpose):
        import llama_index.postprocessor.sbert_rerank  # noqa: F401
    with needs_extra("langchain_huggingface", "rivals", purpose):
        import langchain_huggingface  # noqa: F401
    with needs_extra("langchain_qdrant", "rivals", purpose):
        import langchain_qdrant  # noqa: F401


def ingest_llama_index(embed: Any, texts: Sequence[str], folder: Path) -> None:
    """Passages into a Qdrant folder by an `IngestionPipeline`."""
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.schema import TextNode
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    client = QdrantClient(path=str(folder))
    store = QdrantVectorStore(client=client, collection_name=_COLLECTION)
    nodes = [TextNode(text=text) for text in texts]
    IngestionPipeline(transformations=[embed], vector_store=store).run(nodes=nodes)
    client.close()


def ingest_langchain(embeddings: Any, texts: Sequence[str], folder: Path) -> None:
    """Passages into a Qdrant folder by LangChain's vector store."""
    from langchain_qdrant import QdrantVectorStore

    store = QdrantVectorStore.from_texts(
        list(texts), embeddings, path=str(folder), collection_name=_COLLECTION
    )
    store.client.close()


class LlamaIndexSearch:
    """Search and reranking as LlamaIndex's documentation puts them together.

    Args:
        embedder: folder of a sentence-transformers model.
        cross_encoder: folder of a cross-encoder.
        texts: the passages.
        vectors: their vectors, float32 `[passages, dimension]`.
        depth: passages to rerank.
        k: hits to give.
    """

    def __init__(
        self,
        embedder: Path,
        cross_encoder: Path,
        texts: Sequence[str],
        vectors: NDArray[np.float32],
        *,
        depth: int,
        k: int,
    ) -> None:
        from llama_index.core import VectorStoreIndex
        from llama_index.core.schema import TextNode
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding
        from llama_index.postprocessor.sbert_rerank import SentenceTransformerRerank
        from llama_index.vector_stores.qdrant import QdrantVectorStore
        from qdrant_client import QdrantClient

        # In memory: what Qdrant's local mode searches in, without the time to read it from disk.
        self._client = QdrantClient(":memory:")
        store = QdrantVectorStore(client=self._client, collection_name=_COLLECTION)
        for at in range(0, len(texts), _BLOCK):
            block = zip(texts[at : at + _BLOCK], vectors[at : at + _BLOCK], strict=True)
            store.add([TextNode(text=text, embedding=vector.tolist()) for text, vector in block])
        embed = HuggingFaceEmbedding(model_name=str(embedder), device="cpu")
        self._reranker = SentenceTransformerRerank(model=str(cross_encoder), device="cpu", top_n=k)
        index = VectorStoreIndex.from_vector_store(store, embed_model=embed)
        self._retriever = index.as_retriever(similarity_top_k=depth)

    def search(self, query: str) -> list[str]:
        """The texts found, best first."""
        nodes = self._retriever.retrieve(query)
        ranked = self._reranker.postprocess_nodes(nodes, query_str=query)
        return [node.node.get_content() for node in ranked]

    def close(self) -> None:
        """Let go of the client."""
        self._client.close()
