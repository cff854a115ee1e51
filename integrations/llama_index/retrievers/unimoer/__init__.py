"""unimoer-rag's retrieval for LlamaIndex."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("llama_index.core", "llama-index", "UniMoERIndexRetriever"):
    from llama_index.retrievers.unimoer.base import UniMoERIndexRetriever

__all__ = ["UniMoERIndexRetriever"]
