"""Token-level router: every token chooses for itself, so a prefix never depends on its suffix."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from unimoer_rag.model.routers.base import RoutingInput
from unimoer_rag.model.routers.per_layer import PerLayerRouter

__all__ = ["TokenRouter"]


class TokenRouter(PerLayerRouter):
    """The per-layer maps, applied to each token's state in place of the pooled one.

    Safe for prefix reuse on decoders: a token's weights depend on its own state alone, and no
    later token reaches that.
    """

    cache_safe: ClassVar[bool] = True

    def features(self, hidden: Tensor, routing: RoutingInput) -> Tensor:
        """See `PerLayerRouter.features`; `n` is the number of tokens."""
        return self.norm(hidden.float())  # type: ignore[no-any-return]
