"""unimoer-rag's embedding for LlamaIndex."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("llama_index.core", "llama-index", "UniMoEREmbedding"):
    from llama_index.embeddings.unimoer.base import UniMoEREmbedding

__all__ = ["UniMoEREmbedding"]
