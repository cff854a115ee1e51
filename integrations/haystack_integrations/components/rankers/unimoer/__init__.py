"""unimoer-rag's ranker for Haystack."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("haystack", "haystack", "UniMoERRanker"):
    from haystack_integrations.components.rankers.unimoer.ranker import UniMoERRanker

__all__ = ["UniMoERRanker"]
