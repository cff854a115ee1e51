"""The default router: each layer decides for each row from that layer's own input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor, nn

from unimoer_rag.model.routers.base import (
    Decision,
    GatedRouter,
    RouterShape,
    RoutingInput,
    pooled,
)

__all__ = ["PerLayerRouter"]


class PerLayerRouter(GatedRouter):
    """One linear map a layer, over the pooled and normalised input of the layer (LD-MoLE).

    Not safe for prefix reuse on decoders: the last token decides for the whole row, so that the
    states of a prefix depend on what follows it.
    """

    def __init__(self, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        # Zeros: an untrained router mixes evenly.
        self.weight = nn.Parameter(torch.zeros(self.n_layers, self.n_experts, self.width))
        self.bias = nn.Parameter(torch.zeros(self.n_layers, self.n_experts))

    def expert_axes(self) -> Mapping[str, int]:
        """See `Router.expert_axes`."""
        return {"weight": 1, "bias": 1}

    def features(self, hidden: Tensor, routing: RoutingInput) -> Tensor:
        """What the maps are applied to: float32 `[rows, n, width]`."""
        return self.norm(pooled(hidden, routing)).unsqueeze(1)  # type: ignore[no-any-return]

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a row."""
        features = self.features(hidden, routing)
        logits = self.linear(self.weight[layer], self.bias[layer], features, routing.active)
        return self.mix(layer, logits, features, routing)
