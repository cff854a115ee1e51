"""Hard switch: the task alone chooses, and every expert it names acts in full."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from unimoer_rag.model.routers.base import Decision, Router, RoutingInput

__all__ = ["SwitchRouter"]


class SwitchRouter(Router):
    """Weight 1 for each expert that the row's task names; nothing is learned, no gate takes part.

    The way of Jina embeddings v3 (arXiv 2409.10173): one adapter a task. A task that names two
    experts ("read", "shared") has a switched expert and a shared one. Safe for prefix reuse on
    decoders.
    """

    by_text: ClassVar[bool] = False
    cache_safe: ClassVar[bool] = True

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a row."""
        return Decision(routing.allowed_at(layer).float())
