"""unimoer-rag's reranking for LlamaIndex."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("llama_index.core", "llama-index", "UniMoERRerank"):
    from llama_index.postprocessor.unimoer_rerank.base import UniMoERRerank
    from llama_index.postprocessor.unimoer_rerank.language_model import UniMoERLLMRerank

__all__ = ["UniMoERLLMRerank", "UniMoERRerank"]
