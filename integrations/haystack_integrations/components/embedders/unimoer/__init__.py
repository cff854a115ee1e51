"""unimoer-rag's embedders for Haystack."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("haystack", "haystack", "UniMoERTextEmbedder"):
    from haystack_integrations.components.embedders.unimoer.document_embedder import (
        UniMoERDocumentEmbedder,
    )
    from haystack_integrations.components.embedders.unimoer.text_embedder import (
        UniMoERTextEmbedder,
    )

__all__ = ["UniMoERDocumentEmbedder", "UniMoERTextEmbedder"]
