"""Routers: who decides how much of each expert a text gets. One file a router.

To add one: write its file, then name it in `ROUTERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from unimoer_rag.errors import InputError
from unimoer_rag.model.routers.base import (
    Decision,
    GatedRouter,
    Router,
    RouterShape,
    RoutingInput,
)
from unimoer_rag.model.routers.explicit import ExplicitRouter
from unimoer_rag.model.routers.gates import GATES
from unimoer_rag.model.routers.mlp import MlpRouter
from unimoer_rag.model.routers.mole import MoleRouter
from unimoer_rag.model.routers.per_layer import PerLayerRouter
from unimoer_rag.model.routers.rank_wise import RankWiseRouter
from unimoer_rag.model.routers.sequence import SequenceRouter
from unimoer_rag.model.routers.similarity import SimilarityRouter
from unimoer_rag.model.routers.switch import SwitchRouter
from unimoer_rag.model.routers.token import TokenRouter
from unimoer_rag.model.routers.x_lora import XLoraRouter

__all__ = [
    "GATES",
    "ROUTERS",
    "Decision",
    "GatedRouter",
    "Router",
    "RouterShape",
    "RoutingInput",
    "make_router",
]

ROUTERS: dict[str, type[Router]] = {
    "per-layer": PerLayerRouter,
    "sequence": SequenceRouter,
    "token": TokenRouter,
    "task-explicit": ExplicitRouter,
    "switch": SwitchRouter,
    "mole": MoleRouter,
    "mlp": MlpRouter,
    "x-lora": XLoraRouter,
    "similarity": SimilarityRouter,
    "rank-wise": RankWiseRouter,
}


def make_router(kind: str, options: Mapping[str, int], **shape: Unpack[RouterShape]) -> Router:
    """An untrained router.

    Args:
        kind: a key of `ROUTERS`.
        options: its own options, by name (`Router.options`).
        shape: what it is built for.

    Raises:
        InputError: an unknown router, gate or option, or an option's value that cannot be used.
    """
    gate = shape["gate"]
    if kind not in ROUTERS:
        raise InputError(f"unknown router {kind!r}: expected one of {', '.join(ROUTERS)}")
    if gate not in GATES:
        raise InputError(f"unknown gate {gate!r}: expected one of {', '.join(GATES)}")
    chosen = ROUTERS[kind]
    unknown = sorted(set(options) - set(chosen.options))
    if unknown:
        raise InputError(
            f"the {kind} router has no option {', '.join(unknown)}: it has "
            f"{', '.join(chosen.options) or 'none'}"
        )
    return chosen(**options, **shape)  # type: ignore[misc]
