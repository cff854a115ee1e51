"""unimoer-rag's extractive reader for Haystack."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("haystack", "haystack", "UniMoERReader"):
    from haystack_integrations.components.readers.unimoer.reader import UniMoERReader

__all__ = ["UniMoERReader"]
