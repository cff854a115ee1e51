"""unimoer-rag's BM25 for LlamaIndex."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("llama_index.core", "llama-index", "UniMoERSparseEmbedding"):
    from llama_index.sparse_embeddings.unimoer.base import UniMoERSparseEmbedding

__all__ = ["UniMoERSparseEmbedding"]
