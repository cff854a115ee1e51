"""The default router: each layer decides for each row from that layer's own input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unimoer_rag.model.routers.base import Router, RoutingInput, pool_features

__all__ = ["PerLayerRouter"]


class PerLayerRouter(Router):
    """One linear map a layer, over the pooled and normalised input of the layer (LD-MoLE)."""

    def __init__(
        self, *, width: int, n_layers: int, n_experts: int, tasks: tuple[str, ...], gate: str
    ) -> None:
        super().__init__(
            width=width, n_layers=n_layers, n_experts=n_experts, tasks=tasks, gate=gate
        )
        # Zeros: an untrained router mixes evenly.
        self.weight = nn.Parameter(torch.zeros(n_layers, n_experts, width))
        self.bias = nn.Parameter(torch.zeros(n_layers, n_experts))

    def add_expert(self) -> None:
        """See `Router.add_expert`."""
        self.n_experts += 1
        self.weight = self.grown(self.weight, 1)
        self.bias = self.grown(self.bias, 1)

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Tensor:
        """See `Router.forward`; the answer is `[rows, 1, len(active)]`."""
        features = self.norm(pool_features(hidden, routing)).unsqueeze(1)
        logits = self.linear(self.weight[layer], self.bias[layer], features, routing.active)
        return self.mix(logits, features, routing)
