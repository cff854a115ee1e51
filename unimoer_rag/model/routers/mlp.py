"""A router with a hidden layer and a temperature of its own at each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.routers.base import (
    Decision,
    GatedRouter,
    RouterShape,
    RoutingInput,
    pooled,
)

__all__ = ["MlpRouter"]


class MlpRouter(GatedRouter):
    """An MLP a layer, over the pooled and normalised input of the layer.

        logits = (W gelu(V x) + b) / temperature

    As `PerLayerRouter`, whose map is linear, it decides for a row as a whole: not safe for prefix
    reuse on decoders. The temperature is learned, as MOLE's is (arXiv 2404.13628).

    Args:
        hidden: size of the hidden layer.
        shape: what it is built for.

    Raises:
        InputError: `hidden` is no whole number above 0.
    """

    options = ("hidden",)

    def __init__(self, hidden: int = 32, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        if not isinstance(hidden, int) or isinstance(hidden, bool) or hidden < 1:
            raise InputError(f"hidden is {hidden!r}: expected a whole number above 0")
        down = torch.empty(self.n_layers, hidden, self.width)
        nn.init.kaiming_uniform_(down.view(-1, self.width), a=math.sqrt(5))
        self.down = nn.Parameter(down)
        # Zeros: an untrained router mixes evenly.
        self.weight = nn.Parameter(torch.zeros(self.n_layers, self.n_experts, hidden))
        self.bias = nn.Parameter(torch.zeros(self.n_layers, self.n_experts))
        self.log_temperature = nn.Parameter(torch.zeros(self.n_layers))

    def expert_axes(self) -> Mapping[str, int]:
        """See `Router.expert_axes`."""
        return {"weight": 1, "bias": 1}

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a row."""
        features = self.norm(pooled(hidden, routing)).unsqueeze(1)
        inner = functional.gelu(functional.linear(features, self.down[layer]))
        logits = self.linear(self.weight[layer], self.bias[layer], inner, routing.active)
        return self.mix(layer, logits / self.log_temperature[layer].exp(), features, routing)
