"""Sequence-level router: one decision a row, from the first layer's input, for all layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unimoer_rag.model.routers.base import Router, RoutingInput, pool_features

__all__ = ["SequenceRouter"]


class SequenceRouter(Router):
    """Routes by the pooled embeddings; deeper layers reuse the same weights."""

    def __init__(
        self, *, width: int, n_layers: int, n_experts: int, tasks: tuple[str, ...], gate: str
    ) -> None:
        super().__init__(
            width=width, n_layers=n_layers, n_experts=n_experts, tasks=tasks, gate=gate
        )
        self.weight = nn.Parameter(torch.zeros(n_experts, width))
        self.bias = nn.Parameter(torch.zeros(n_experts))

    def add_expert(self) -> None:
        """See `Router.add_expert`."""
        self.n_experts += 1
        self.weight = self.grown(self.weight, 0)
        self.bias = self.grown(self.bias, 0)

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Tensor:
        """See `Router.forward`; the answer is `[rows, 1, len(active)]`."""
        if layer == 0:
            features = self.norm(pool_features(hidden, routing)).unsqueeze(1)
            logits = self.linear(self.weight, self.bias, features, routing.active)
            routing.memory["sequence"] = self.mix(logits, features, routing)
        return routing.memory["sequence"]
