"""X-LoRA's router: the bare backbone reads the text first, then says how to mix in every layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from unimoer_rag.model.routers.base import RoutingInput
from unimoer_rag.model.routers.per_layer import PerLayerRouter

__all__ = ["XLoraRouter"]


class XLoraRouter(PerLayerRouter):
    """The per-layer maps, applied to each token's last hidden state in the bare backbone.

    Two forwards: one with the experts off, whose states decide, and one with them (X-LoRA, arXiv
    2402.07148; its classifier of depth 1, with the gate softmax). The first keeps no gradient:
    nothing in it is trained. Safe for prefix reuse on decoders: both forwards are causal and a
    token decides for itself.
    """

    two_passes: ClassVar[bool] = True
    cache_safe: ClassVar[bool] = True

    def features(self, hidden: Tensor, routing: RoutingInput) -> Tensor:
        """See `PerLayerRouter.features`; `n` is the number of tokens."""
        assert routing.frozen is not None  # two_passes
        return self.norm(routing.frozen.float())  # type: ignore[no-any-return]
