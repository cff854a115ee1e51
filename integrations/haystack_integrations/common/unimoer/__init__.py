"""What unimoer-rag's Haystack components have in common."""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

with needs_extra("haystack", "haystack", "unimoer-rag's Haystack components"):
    from haystack_integrations.common.unimoer.checks import check_threshold, check_top_k
    from haystack_integrations.common.unimoer.documents import texts_of, unique
    from haystack_integrations.common.unimoer.model import LazyModel, ModelComponent

__all__ = ["LazyModel", "ModelComponent", "check_threshold", "check_top_k", "texts_of", "unique"]
