"""MOLE's router: experts are weighed by what they would say about the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor, nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.routers.base import (
    Decision,
    GatedRouter,
    RouterShape,
    RoutingInput,
    pooled,
)

if TYPE_CHECKING:
    from unimoer_rag.model.layers.experts import RoutedLinear

__all__ = ["MoleRouter"]

# Added below the root: silent experts have outputs of length zero.
_EPSILON = 1e-6


class MoleRouter(GatedRouter):
    """A map over the experts' outputs, concatenated and normalised, with a learned temperature.

        o_e = alpha_e / r_e B_e A_e mean(x)
        logits = W [o_1, .., o_E] / |[o_1, .., o_E]| / temperature

    MOLE (arXiv 2404.13628, equations 4 to 6, with the gate softmax), whose flattened sequence is
    pooled here, so that length may vary: the mean over tokens commutes with the linear experts, and
    one vector a row is all that is computed. The outputs are those of the layer's first routed
    linear that reads states of the backbone's width (the query projection, as a rule); an expert
    that it lacks says nothing. As in MOLE no gradient reaches the experts by this way. Not safe for
    prefix reuse on decoders: the last token decides for the whole row.
    """

    def __init__(self, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        self.weight = nn.ParameterList()  # [experts, experts, out] a layer, made by `bind`
        self.log_temperature = nn.Parameter(torch.zeros(self.n_layers))
        # A tuple hides the layers from torch: they belong to the backbone.
        self._read: tuple[RoutedLinear, ...] = ()

    def bind(self, layers: Sequence[Sequence[RoutedLinear]]) -> None:
        """See `Router.bind`.

        Raises:
            InputError: a layer has no routed linear that reads states of the backbone's width.
        """
        found = [
            next((linear for linear in layer if linear.base.in_features == self.width), None)
            for layer in layers
        ]
        read = tuple(linear for linear in found if linear is not None)
        if len(read) < len(layers):
            raise InputError(
                f"the mole router reads experts' outputs, and transformer layer "
                f"{found.index(None)} has no routed linear with {self.width} inputs: route the "
                "query projection too (targets)"
            )
        self._read = read
        n = self.n_experts
        for linear in read:
            self.weight.append(nn.Parameter(torch.zeros(n, n, linear.base.out_features)))

    def add_expert(self, rank: int) -> None:
        """See `Router.add_expert`."""
        self._resize([*range(self.n_experts), -1])
        super().add_expert(rank)

    def remove_expert(self, at: int) -> None:
        """See `Router.remove_expert`."""
        self._resize([i for i in range(self.n_experts) if i != at])
        super().remove_expert(at)

    def _resize(self, keep: list[int]) -> None:
        """Keep these experts' entries on both axes; -1 is a new one of zeros."""
        for at in range(len(self.weight)):
            self._replace(
                f"weight.{at}",
                lambda old: nn.functional.pad(old, (0, 0, 0, 1, 0, 1))[keep][:, keep],
            )

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a row."""
        features = pooled(hidden, routing)
        outputs = self._outputs(layer, features, routing)
        index = list(routing.active)
        weight = self.weight[layer][index][:, index]
        logits = torch.einsum("rad,bad->rb", outputs, weight) / self.log_temperature[layer].exp()
        return self.mix(layer, logits.unsqueeze(1), self.norm(features).unsqueeze(1), routing)

    @torch.no_grad()
    def _outputs(self, layer: int, features: Tensor, routing: RoutingInput) -> Tensor:
        """Normalised outputs of the experts each row may use: `[rows, len(active), out]`."""
        linear = self._read[layer]
        said = features.new_zeros(len(features), len(routing.active), linear.base.out_features)
        for at, (expert, scale) in enumerate(zip(routing.experts, routing.scales, strict=True)):
            if expert in linear.lora_A:
                down, up = linear.lora_A[expert].float(), linear.lora_B[expert].float()
                said[:, at] = features @ down.T @ up.T * scale
        said = said * routing.allowed_at(layer).transpose(1, 2)
        length = (said.square().sum((1, 2), keepdim=True) + _EPSILON).sqrt()
        return said / length
