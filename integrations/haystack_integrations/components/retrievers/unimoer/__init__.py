"""unimoer-rag's retrieval for Haystack."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("haystack", "haystack", "UniMoERRetriever"):
    from haystack_integrations.components.retrievers.unimoer.retriever import UniMoERRetriever

__all__ = ["UniMoERRetriever"]
