"""unimoer-rag's language models for LlamaIndex."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("llama_index.core", "llama-index", "UniMoERLLM"):
    from llama_index.llms.unimoer.base import UniMoERLLM

__all__ = ["UniMoERLLM"]
