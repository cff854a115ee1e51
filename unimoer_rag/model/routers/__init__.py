"""Routers: who decides how much of each expert a text gets. One file a router.

To add one: write its file, then name it in `ROUTERS`.
"""

from __future__ import annotations

from unimoer_rag.model.routers.base import Router, RoutingInput
from unimoer_rag.model.routers.explicit import ExplicitRouter
from unimoer_rag.model.routers.gates import GATES
from unimoer_rag.model.routers.per_layer import PerLayerRouter
from unimoer_rag.model.routers.sequence import SequenceRouter
from unimoer_rag.model.routers.token import TokenRouter

__all__ = ["GATES", "ROUTERS", "Router", "RoutingInput"]

ROUTERS: dict[str, type[Router]] = {
    "per-layer": PerLayerRouter,
    "sequence": SequenceRouter,
    "token": TokenRouter,
    "task-explicit": ExplicitRouter,
}
