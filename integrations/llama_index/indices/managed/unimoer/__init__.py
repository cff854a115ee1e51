"""unimoer-rag's index for LlamaIndex."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("llama_index.core", "llama-index", "UniMoERIndex"):
    from llama_index.indices.managed.unimoer.base import UniMoERIndex

__all__ = ["UniMoERIndex"]
