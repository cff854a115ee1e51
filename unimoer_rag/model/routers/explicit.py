"""Task-explicit router: weights per layer and task, the same for every input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from unimoer_rag.model.routers.base import Decision, GatedRouter, RouterShape, RoutingInput

__all__ = ["ExplicitRouter"]


class ExplicitRouter(GatedRouter):
    """Learned constants. For one task the experts' sum is then one plain LoRA adapter.

    Safe for prefix reuse on decoders: the text decides nothing.
    """

    by_text: ClassVar[bool] = False
    cache_safe: ClassVar[bool] = True

    def __init__(self, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        self.logits = nn.ParameterDict(
            {name: torch.zeros(self.n_layers, self.n_experts) for name in shape["tasks"]}
        )
        # The gate's sparsity predictor sees no text here: a constant stands in for it.
        self.features = nn.Parameter(torch.zeros(self.width), requires_grad=False)

    def expert_axes(self) -> Mapping[str, int]:
        """See `Router.expert_axes`."""
        return {f"logits.{name}": 1 for name in self.logits}

    def add_task(self, name: str) -> None:
        """See `Router.add_task`: a new task mixes its experts evenly."""
        device = self.features.device
        self.logits[name] = nn.Parameter(torch.zeros(self.n_layers, self.n_experts, device=device))

    def remove_task(self, name: str) -> None:
        """See `Router.remove_task`."""
        del self.logits[name]

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a row."""
        index = list(routing.active)
        logits = torch.stack([self.logits[task][layer][index] for task in routing.tasks])
        # In memory of its own: which kernel multiplies a tensor without strides depends on what
        # learns, and so would the last bits.
        features = self.features.expand(len(routing.tasks), 1, -1).contiguous()
        return self.mix(layer, logits.unsqueeze(1), features, routing)
