"""Task-explicit router: weights per layer and task, the same for every input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unimoer_rag.model.routers.base import Router, RoutingInput

__all__ = ["ExplicitRouter"]


class ExplicitRouter(Router):
    """Learned constants. For one task the experts' sum is then one plain LoRA adapter."""

    def __init__(
        self, *, width: int, n_layers: int, n_experts: int, tasks: tuple[str, ...], gate: str
    ) -> None:
        super().__init__(
            width=width, n_layers=n_layers, n_experts=n_experts, tasks=tasks, gate=gate
        )
        self.logits = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(n_layers, n_experts)) for name in tasks}
        )
        # The gate's sparsity predictor sees no text here: a constant stands in for it.
        self.features = nn.Parameter(torch.zeros(width), requires_grad=False)

    def add_expert(self) -> None:
        """See `Router.add_expert`."""
        self.n_experts += 1
        for name in list(self.logits):
            self.logits[name] = self.grown(self.logits[name], 1)

    def add_task(self, name: str) -> None:
        """See `Router.add_task`: a new task mixes its experts evenly."""
        device = self.features.device
        self.logits[name] = nn.Parameter(torch.zeros(self.n_layers, self.n_experts, device=device))

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Tensor:
        """See `Router.forward`; the answer is `[rows, 1, len(active)]`."""
        index = list(routing.active)
        logits = torch.stack([self.logits[task][layer][index] for task in routing.tasks])
        features = self.features.expand(len(routing.tasks), 1, -1)
        return self.mix(logits.unsqueeze(1), features, routing)
