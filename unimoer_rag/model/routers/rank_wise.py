"""Rank-wise router: every rank of every expert is an expert of its own."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.routers.base import Decision, Router, RouterShape, RoutingInput
from unimoer_rag.model.routers.gates import MASKED

__all__ = ["RankWiseRouter"]

# Spread of a new rank's weights: even logits would let the order of the ranks decide.
_SPREAD = 0.02


class RankWiseRouter(Router):
    """Each token takes the `k` ranks with the largest logits, mixed by their softmax.

        y = W x + B G(x) A x,  G diagonal with k entries above zero, which sum to 1

    SMoRA (arXiv 2501.15103). A rank counts as an expert of rank 1 with the alpha of the expert it
    is part of: where all ranks of an expert are gated alike, they act as that expert does with
    their sum for its weight. No other gate takes part. Safe for prefix reuse on decoders: a token
    decides for itself.

    Args:
        k: ranks that a token takes; by default a quarter of those its task has, at least 1.
        shape: see `RouterShape`.

    Raises:
        InputError: `k` is no whole number above zero.
    """

    by_rank: ClassVar[bool] = True
    cache_safe: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("k",)

    def __init__(self, *, k: int | None = None, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
            raise InputError(f"the rank-wise router's k is {k!r}: expected a whole number above 0")
        self.k = k
        self.norm = nn.LayerNorm(self.width, elementwise_affine=False)
        n = sum(self.ranks)
        self.weight = nn.Parameter(torch.randn(self.n_layers, n, self.width) * _SPREAD)
        self.bias = nn.Parameter(torch.zeros(self.n_layers, n))

    def add_expert(self, rank: int) -> None:
        """See `Router.add_expert`."""
        new = torch.randn(self.n_layers, rank, self.width, device=self.weight.device) * _SPREAD
        even = self.bias.new_zeros(self.n_layers, rank)
        self._replace("weight", lambda old: torch.cat([old, new], dim=1))
        self._replace("bias", lambda old: torch.cat([old, even], dim=1))
        super().add_expert(rank)

    def remove_expert(self, at: int) -> None:
        """See `Router.remove_expert`."""
        keep = self._ranks_of(tuple(i for i in range(self.n_experts) if i != at))
        for name in ("weight", "bias"):
            self._replace(name, lambda old: old[:, keep])
        super().remove_expert(at)

    def _ranks_of(self, experts: tuple[int, ...]) -> list[int]:
        """Positions of some experts' ranks among all."""
        ends = torch.tensor(self.ranks).cumsum(0).tolist()
        return [i for e in experts for i in range(ends[e] - self.ranks[e], ends[e])]

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a token, with `Decision.ranks`."""
        index = self._ranks_of(routing.active)
        sizes = [self.ranks[e] for e in routing.active]
        repeats = torch.tensor(sizes, device=hidden.device)
        allowed = routing.allowed_at(layer).repeat_interleave(repeats, dim=-1)
        features = self.norm(hidden.float())
        logits = nn.functional.linear(features, self.weight[layer][index], self.bias[layer][index])
        logits = logits.masked_fill(~allowed, MASKED)
        ranks = self._gate(logits, allowed)
        weights = torch.stack([part.sum(-1) for part in torch.split(ranks, sizes, dim=-1)], dim=-1)
        return Decision(weights, ranks=ranks)

    def _gate(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Softmax over each token's `k` largest logits, 0 for every other rank."""
        room = allowed.sum(-1, keepdim=True)
        k = (room // 4).clamp_min(1) if self.k is None else room.clamp_max(self.k)
        order = logits.argsort(dim=-1, descending=True, stable=True)
        place = order.argsort(dim=-1)
        taken = (place < k) & allowed
        return logits.masked_fill(~taken, MASKED).softmax(-1) * taken
