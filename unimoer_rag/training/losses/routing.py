"""Regularisers of the routing: how its weights spread over rows and experts.

One more is a weight among the keys of `Routing`, and its line in `Routing.losses`.

They read one tensor a transformer layer, `[rows, n, experts]` with n decisions a row (one, or one a
token), and average over decisions, rows and layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from unimoer_rag.data import Part
from unimoer_rag.model import States

__all__ = ["Routing", "load_balance", "product_balance", "routed_balance", "row_means"]


class Routing(Part):
    """What training asks of the router besides the tasks' losses."""

    balance: float = Field(default=0.01, ge=0, description="weight of the load-balance loss")
    balance_by: Literal["share", "routed", "product"] = Field(
        default="share",
        description="an expert's load: its share of the weight, of the rows that use it at all "
        "(LD-MoLE), or minus the log of the product of the shares (MOLE)",
    )

    def losses(self, states: States, allowed: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What is asked, by name, each with its weight.

        Args:
            states: of a forward, with the routing of some layer.
            allowed: bool `[layers, rows, experts]`.
            mask: bool `[rows, tokens]`.
        """
        found: dict[str, Tensor] = {}
        if self.balance:
            form = _FORMS[self.balance_by]
            found["balance"] = self.balance * form(states.weights, allowed, mask=mask)
        return found


def load_balance(
    weights: Sequence[Tensor], allowed: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """Load balance `E * sum_i f_i P_i`, averaged over layers: 1 when even, E when one has all.

    Fedus et al. 2021, for mixtures: `f_i`, the fraction routed to an expert, is its share of the
    weight, without gradient; `P_i` is the same with gradient. A row's weights are taken relative
    to an even split over the experts it may use, so that a row of one task is not asked to use
    another's. A layer without any experts counts as 0.

    Args:
        weights: routing weights of each layer, `[rows, n, experts]`.
        allowed: what a row may use, bool `[rows, experts]`; `[layers, rows, experts]` where layers
            hold different experts.
        mask: which tokens are real, bool `[rows, tokens]`; matters only where a router decides by
            token.
    """
    balances = []
    for layer, open_ in zip(weights, _by_layer(weights, allowed), strict=True):
        load = _load(layer, open_, mask)
        balances.append((load.detach() * load).sum() / open_.any(0).sum().clamp_min(1))
    return torch.stack(balances).mean()


def routed_balance(
    weights: Sequence[Tensor], allowed: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """Load balance `E * sum_i f_i P_i` by what is routed at all, averaged over layers.

    LD-MoLE (arXiv 2509.25684): `f_i` is an expert's part of all choices with a weight above 0,
    without gradient; `P_i` its mean weight. Where every row uses every expert, it is 1 and pushes
    nowhere. Rows and experts as in `load_balance`.
    """
    balances = []
    for layer, open_ in zip(weights, _by_layer(weights, allowed), strict=True):
        chosen = _load((layer.detach() > 0).float(), open_, mask)
        part = chosen / chosen.sum().clamp_min(1e-9)
        balances.append((part * _load(layer, open_, mask)).sum())
    return torch.stack(balances).mean()


def product_balance(
    weights: Sequence[Tensor], allowed: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """MOLE's balance (arXiv 2404.13628): `-log prod_i q_i`, averaged over layers.

    `q_i` is an expert's mean weight, here relative to an even split as in `load_balance`: 0 when
    even, and without bound as an expert falls silent. Experts that no row may use are left out.
    """
    balances = []
    for layer, open_ in zip(weights, _by_layer(weights, allowed), strict=True):
        load = _load(layer, open_, mask).clamp_min(1e-6)
        balances.append(-(load.log() * open_.any(0)).sum())
    return torch.stack(balances).mean()


class _Form(Protocol):
    """A way to count how even the load is."""

    def __call__(
        self, weights: Sequence[Tensor], allowed: Tensor, *, mask: Tensor | None = None
    ) -> Tensor: ...


_FORMS: Mapping[str, _Form] = {
    "share": load_balance,
    "routed": routed_balance,
    "product": product_balance,
}


def _by_layer(weights: Sequence[Tensor], allowed: Tensor) -> Tensor:
    """What a row may use, `[layers, rows, experts]`."""
    return allowed.expand(len(weights), *allowed.shape[-2:])


def _load(weights: Tensor, allowed: Tensor, mask: Tensor | None) -> Tensor:
    """Mean weight of each expert `[experts]` over its rows, 1 being a row's even split."""
    n_allowed = allowed.sum(-1, keepdim=True).float()
    return (row_means(weights, mask) * n_allowed).sum(0) / allowed.sum(0).clamp_min(1)


def row_means(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the decisions of each row, `[rows, n, ...]` to `[rows, ...]`; padding left out."""
    if mask is None or values.shape[1] == 1:
        return values.mean(1)
    share = mask.to(values.dtype) / mask.sum(1, keepdim=True).clamp_min(1)
    return torch.einsum("rn...,rn->r...", values, share)
