"""Regularisers of the routing: how its weights spread over rows and experts.

One more is a weight among the keys of `Routing`, and its line in `Routing.losses`.

All of them read one tensor a transformer layer, `[rows, n, experts]` with n decisions a row (one,
or one a token), and average over decisions, rows and layers. `allowed`, bool `[rows, experts]`,
says what a row's task may use; `mask`, bool `[rows, tokens]`, which tokens are real, and matters
only where a router decides by token. Where layers hold different experts, `allowed` may be
`[layers, rows, experts]`; a layer without any experts counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from unimoer_rag.data import Part
from unimoer_rag.model import MASKED, States

__all__ = ["Routing", "dynmole", "entropy", "load_balance", "row_means", "sparsity"]

# Below this, a probability's logarithm and powers are its own: their slopes have no end at 0.
_LEAST = 1e-9


class Routing(Part):
    """What training asks of the router besides the tasks' losses."""

    balance: float = Field(default=0.01, ge=0, description="weight of the load-balance loss")
    sparsity: float = Field(default=0.0, ge=0, description="weight of LD-MoLE's sparsity loss")
    active: int = Field(default=2, ge=1, description="experts that the sparsity loss leaves active")
    entropy: float = Field(default=0.0, ge=0, description="weight of the routing's entropy")
    entropy_order: float = Field(default=1.0, gt=0, description="1 is Shannon's, others Tsallis'")
    dynmole: float = Field(default=0.0, ge=0, description="weight of DynMoLE's auxiliary loss")
    expert_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of a text's experts left out of the routing"
    )
    logit_noise: float = Field(default=0.0, ge=0, description="standard deviation")

    def losses(self, states: States, allowed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What is asked, by name, each with its weight.

        Args:
            states: of a forward, with the routing of some layer.
            allowed: bool `[layers, rows, experts]`.
            mask: bool `[rows, tokens]`.
        """
        weights = states.weights
        known = [at for at, decision in enumerate(states.routing) if decision.logits is not None]
        logits = [d.logits for d in states.routing if d.logits is not None]
        found: dict[str, Tensor] = {}
        if self.balance:
            found["balance"] = self.balance * load_balance(weights, allowed, mask=mask)
        if self.sparsity:
            lam = [d.lam for d in states.routing if d.lam is not None]
            sparse = sparsity(logits, lam, allowed[known], k=self.active, mask=mask)
            found["sparsity"] = self.sparsity * sparse
        if self.entropy:
            spread = entropy(weights, allowed, q=self.entropy_order, mask=mask)
            found["entropy"] = self.entropy * spread
        if self.dynmole:
            gated = [weights[at] for at in known]
            found["dynmole"] = self.dynmole * dynmole(logits, gated, allowed[known], mask=mask)
        return found


def load_balance(
    weights: Sequence[Tensor], allowed: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """Load balance `E * sum_i f_i P_i`, averaged over layers: 1 when even, E when one has all.

    Fedus et al. 2021, for mixtures: `f_i`, the fraction routed to an expert, is its share of the
    weight, without gradient; `P_i` is the same with gradient. A row's weights are taken relative
    to an even split over the experts it may use, so that a row of one task is not asked to use
    another's.

    Args:
        weights: routing weights of each layer, `[rows, n, experts]`.
        allowed: bool `[rows, experts]`.
        mask: bool `[rows, tokens]`.
    """
    balances = []
    for layer, open_ in _by_layer(weights, allowed):
        load = _load(layer, open_, mask)
        balances.append(_agreement(load.detach(), load, open_))
    return torch.stack(balances).mean()


def sparsity(
    logits: Sequence[Tensor],
    lam: Sequence[Tensor],
    allowed: Tensor,
    *,
    k: int,
    mask: Tensor | None = None,
) -> Tensor:
    """LD-MoLE's sparsity loss: how far Sparsegen's `lam` is from leaving at most k experts.

    Mean of `max(0, lower_k - lam)`, where at most k experts get weight once `lam` reaches
    `lower_k = 1 - sum_(i <= k) (u_(i) - u_(k+1))`, u the logits in descending order (arXiv
    2509.25684). As in its authors' code only `lam` has a gradient. Rows that may use no more than
    k experts add 0.

    Args:
        logits: of each layer, `[rows, n, experts]`.
        lam: of each layer, `[rows, n]`.
        allowed: bool `[rows, experts]`.
        k: experts that shall be left, 1 or more.
        mask: bool `[rows, tokens]`.
    """
    parts = []
    for (layer, open_), sparse in zip(_by_layer(logits, allowed), lam, strict=True):
        u = layer.detach().masked_fill(~open_.unsqueeze(1), MASKED)
        # One that nobody may use stands behind the last.
        ordered = functional.pad(u.sort(-1, descending=True).values, (0, 1), value=MASKED)
        kept = min(k, u.shape[-1])
        lower = 1 - (ordered[..., :kept] - ordered[..., kept : kept + 1]).sum(-1)
        gap = row_means((lower - sparse).clamp_min(0), mask)
        parts.append((gap * (open_.sum(-1) > k)).mean())
    return torch.stack(parts).mean()


def entropy(
    weights: Sequence[Tensor],
    allowed: Tensor,
    *,
    q: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean entropy of the weights: 0 when one expert has all, 1 when all allowed share evenly.

    Tsallis' `(1 - sum_i p_i^q) / (q - 1)`, whose limit at `q = 1` is Shannon's, over its largest
    value with as many experts as the row may use (DynMoLE, arXiv 2504.00661). Rows that may use
    one expert only have entropy 0.

    Args:
        weights: of each layer, `[rows, n, experts]`, summing to 1 over the experts.
        allowed: bool `[rows, experts]`.
        q: index of the entropy, above 0; DynMoLE's is 1.1.
        mask: bool `[rows, tokens]`.
    """
    layers = []
    for p, open_ in _by_layer(weights, allowed):
        most = _surprise(1.0 / open_.sum(-1).clamp_min(2).float(), q)
        given = (p * _surprise(p.clamp_min(_LEAST), q)).sum(-1)
        layers.append((row_means(given, mask) / most).mean())
    return torch.stack(layers).mean()


def dynmole(
    logits: Sequence[Tensor],
    weights: Sequence[Tensor],
    allowed: Tensor,
    *,
    q: float = 1.1,
    entropy_weight: float = 0.01,
    balance_weight: float = 0.001,
    mask: Tensor | None = None,
) -> Tensor:
    """DynMoLE's auxiliary loss: entropy of the probabilities plus their load balance.

    `entropy_weight * H_q(p) + balance_weight * E sum_i mean(w_i) mean(p_i)` (arXiv 2504.00661),
    with p the softmax of the logits and w the weights that its gate left of it. The balance is of
    each layer, as in `load_balance`, and like there relative to what a row may use.

    Args:
        logits: of each layer, `[rows, n, experts]`.
        weights: the same layers' routing weights.
        allowed: bool `[rows, experts]`.
        q: index of the Tsallis entropy.
        entropy_weight: of the first term.
        balance_weight: of the second.
        mask: bool `[rows, tokens]`.
    """
    probabilities = [
        u.masked_fill(~open_.unsqueeze(1), MASKED).softmax(-1) * open_.unsqueeze(1)
        for u, open_ in _by_layer(logits, allowed)
    ]
    balances = [
        _agreement(_load(w, open_, mask), _load(p, open_, mask), open_)
        for (w, open_), p in zip(_by_layer(weights, allowed), probabilities, strict=True)
    ]
    spread = entropy(probabilities, allowed, q=q, mask=mask)
    return entropy_weight * spread + balance_weight * torch.stack(balances).mean()


def _by_layer(values: Sequence[Tensor], allowed: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each layer's values with what its rows may use, bool `[rows, experts]`."""
    return zip(values, allowed.expand(len(values), *allowed.shape[-2:]), strict=True)


def _surprise(p: Tensor, q: float) -> Tensor:
    """What an outcome of probability p adds to the Tsallis entropy, for each p of it."""
    return -p.log() if math.isclose(q, 1.0) else (1 - p ** (q - 1)) / (q - 1)


def _load(weights: Tensor, allowed: Tensor, mask: Tensor | None) -> Tensor:
    """Mean weight of each expert `[experts]` over its rows, 1 being a row's even split."""
    n_allowed = allowed.sum(-1, keepdim=True).float()
    return (row_means(weights, mask) * n_allowed).sum(0) / allowed.sum(0).clamp_min(1)


def _agreement(routed: Tensor, likely: Tensor, allowed: Tensor) -> Tensor:
    """Mean product of two loads `[experts]` over the experts that some row may use."""
    return (routed * likely).sum() / allowed.any(0).sum().clamp_min(1)


def row_means(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the decisions of each row, `[rows, n, ...]` to `[rows, ...]`; padding left out."""
    if mask is None or values.shape[1] == 1:
        return values.mean(1)
    share = mask.to(values.dtype) / mask.sum(1, keepdim=True).clamp_min(1)
    return torch.einsum("rn...,rn->r...", values, share)
