"""unimoer-rag's answers for LlamaIndex."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("llama_index.core", "llama-index", "UniMoERSynthesizer"):
    from llama_index.response_synthesizers.unimoer.base import UniMoERSynthesizer
    from llama_index.response_synthesizers.unimoer.query_engine import UniMoERQueryEngine

__all__ = ["UniMoERQueryEngine", "UniMoERSynthesizer"]
