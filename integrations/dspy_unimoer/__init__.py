"""unimoer-rag for DSPy: a retriever and an embedder on one loaded model."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("dspy", "dspy", "dspy_unimoer"):
    from dspy_unimoer.embedder import UniMoEREmbedder
    from dspy_unimoer.retriever import FoundPassages, UniMoERRM

__all__ = ["FoundPassages", "UniMoEREmbedder", "UniMoERRM"]
