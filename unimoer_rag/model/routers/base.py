"""What every router shares: the features it routes by and the masked gate behind it.

A router is asked once per transformer layer and forward. It sees that layer's input and answers
with the weight of each expert, for each row (or each token). It never sees an expert that no row
of the batch may use: adding experts for a new task leaves the arithmetic of the old ones alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unimoer_rag.model.routers.gates import GATES

__all__ = ["MASKED", "Router", "RoutingInput", "pool_features"]

# Logit of an expert that a row may not use: far below any learned one, and finite, so that
# Sparsegen's cumulative sums stay finite too.
MASKED = -1e4


@dataclass(slots=True)
class RoutingInput:
    """What stays the same for all layers of one forward.

    Attributes:
        tasks: the task's name for each row.
        active: indices of the experts that some row may use, ascending.
        allowed: bool `[rows, len(active)]`: which of them each row may use.
        mask: bool `[rows, tokens]`: real tokens.
        causal: the backbone is a decoder, so only a row's last token has seen all of it.
        memory: kept by a router that decides once for all layers.
    """

    tasks: tuple[str, ...]
    active: tuple[int, ...]
    allowed: Tensor
    mask: Tensor
    causal: bool
    memory: dict[str, Tensor] = field(default_factory=dict)


def pool_features(hidden: Tensor, routing: RoutingInput) -> Tensor:
    """One float32 vector a row `[rows, width]`: mean of real tokens, or the last on decoders."""
    if routing.causal:
        last = routing.mask.long().cumsum(-1).argmax(-1)
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        return hidden[rows, last].float()
    weight = routing.mask.to(hidden.dtype)
    total = torch.einsum("rtd,rt->rd", hidden, weight).float()
    return total / routing.mask.sum(-1, keepdim=True)


class Router(nn.Module):
    """Base of the routers: holds the gate, masks what a row may not use.

    Args:
        width: hidden size of the backbone.
        n_layers: its number of transformer layers.
        n_experts: how many experts exist.
        tasks: names of the tasks (only the task-explicit router reads them).
        gate: a key of `GATES`.
    """

    def __init__(
        self, *, width: int, n_layers: int, n_experts: int, tasks: tuple[str, ...], gate: str
    ) -> None:
        super().__init__()
        self.width, self.n_layers, self.n_experts = width, n_layers, n_experts
        self.gate = GATES[gate](width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def add_expert(self) -> None:
        """Make room for one more expert behind the others, whose logits stay as they are."""
        raise NotImplementedError

    def add_task(self, name: str) -> None:
        """Make room for one more task; most routers look at the text alone and need none."""

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Tensor:
        """Expert weights at one layer.

        Args:
            layer: 0 for the first transformer layer.
            hidden: its input `[rows, tokens, width]`.
            routing: the constants of this forward.

        Returns:
            float32 `[rows, 1, len(active)]`, or `[rows, tokens, len(active)]` by token.
        """
        raise NotImplementedError

    def mix(self, logits: Tensor, features: Tensor, routing: RoutingInput) -> Tensor:
        """Gate `[rows, n, len(active)]` logits, the masked experts getting exactly 0."""
        allowed = routing.allowed.unsqueeze(1)
        weights: Tensor = self.gate(logits.masked_fill(~allowed, MASKED), features)
        return weights * allowed

    @staticmethod
    def grown(parameter: nn.Parameter, dim: int) -> nn.Parameter:
        """The parameter with one more zero entry along `dim`: how an untrained expert starts."""
        shape = [*parameter.shape]
        shape[dim] = 1
        return nn.Parameter(torch.cat([parameter.detach(), parameter.new_zeros(shape)], dim=dim))

    @staticmethod
    def linear(weight: Tensor, bias: Tensor, features: Tensor, active: tuple[int, ...]) -> Tensor:
        """Logits of the active experts only: `features @ weight[active].T + bias[active]`."""
        index = list(active)
        return torch.nn.functional.linear(features, weight[index], bias[index])
