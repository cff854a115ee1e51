"""Sequence-level router: one decision a row, from the first layer's input, for all layers."""

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
    token_mean,
)

__all__ = ["SequenceRouter"]


class SequenceRouter(GatedRouter):
    """Routes by the mean of the token embeddings; deeper layers reuse the same weights.

    The mean on decoders too: the last token's embedding, that of the end-of-text token, has seen no
    text. Where layers have different experts, each mixes those it has by the same logits. Not safe
    for prefix reuse on decoders: all tokens decide for the whole row.
    """

    def __init__(self, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        self.weight = nn.Parameter(torch.zeros(self.n_experts, self.width))
        self.bias = nn.Parameter(torch.zeros(self.n_experts))

    def expert_axes(self) -> Mapping[str, int]:
        """See `Router.expert_axes`."""
        return {"weight": 0, "bias": 0}

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a row."""
        memory = routing.memory
        if layer == 0:
            memory["features"] = self.norm(token_mean(hidden, routing)).unsqueeze(1)
            memory["logits"] = self.linear(
                self.weight, self.bias, memory["features"], routing.active
            )
        return self.mix(layer, memory["logits"], memory["features"], routing)
