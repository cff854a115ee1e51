"""What every router shares: what it is asked with, and the regularisation of its answers.

A router is asked once per transformer layer and forward. It sees that layer's input and answers
with the weight of each expert, for each row (or each token). It never sees an expert that no row
of the batch may use: adding experts for a new task leaves the arithmetic of the old ones alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypedDict, Unpack

import torch
from torch import Tensor, nn

from unimoer_rag.model.routers.decision import Decision
from unimoer_rag.model.routers.gates import GATES, MASKED

if TYPE_CHECKING:
    from unimoer_rag.model.layers.experts import RoutedLinear

__all__ = [
    "MASKED",
    "Decision",
    "GatedRouter",
    "Router",
    "RouterShape",
    "RoutingInput",
    "pooled",
    "token_mean",
]


class RouterShape(TypedDict):
    """What a router is built for.

    Attributes:
        width: hidden size of the backbone.
        n_layers: its number of transformer layers.
        ranks: rank of each expert, in the model's order.
        tasks: names of the tasks (only the task-explicit router reads them).
        gate: a key of `GATES` (read by gated routers alone).
    """

    width: int
    n_layers: int
    ranks: tuple[int, ...]
    tasks: tuple[str, ...]
    gate: str


@dataclass(slots=True)
class RoutingInput:
    """What stays the same for all layers of one forward.

    Attributes:
        tasks: the task's name for each row.
        active: indices of the experts that some row may use, ascending.
        experts: their names.
        scales: their `alpha / r`.
        allowed: bool `[rows, len(active)]`: which of them each row may use.
        mask: bool `[rows, tokens]`: real tokens.
        causal: the backbone is a decoder, so only a row's last token has seen all of it.
        present: bool `[layers, len(active)]`: which of them each transformer layer has; None
            where every layer has all.
        frozen: last hidden states `[rows, tokens, width]` of the bare backbone, for routers that
            read it (`Router.two_passes`).
        memory: kept by a router from the first layer on.
    """

    tasks: tuple[str, ...]
    active: tuple[int, ...]
    experts: tuple[str, ...]
    scales: tuple[float, ...]
    allowed: Tensor
    mask: Tensor
    causal: bool
    present: Tensor | None = None
    frozen: Tensor | None = None
    memory: dict[str, Tensor] = field(default_factory=dict)

    def allowed_at(self, layer: int) -> Tensor:
        """Which of the active experts each row may use in one layer, bool `[rows, 1, active]`."""
        allowed = self.allowed if self.present is None else self.allowed & self.present[layer]
        return allowed.unsqueeze(1)


def pooled(hidden: Tensor, routing: RoutingInput) -> Tensor:
    """One float32 vector a row `[rows, width]`: mean of real tokens, or the last on decoders."""
    if not routing.causal:
        return token_mean(hidden, routing)
    last = routing.mask.long().cumsum(-1).argmax(-1)
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return hidden[rows, last].float()


def token_mean(hidden: Tensor, routing: RoutingInput) -> Tensor:
    """The mean of each row's real tokens, float32 `[rows, width]`."""
    weight = routing.mask.to(hidden.dtype)
    total = torch.einsum("rtd,rt->rd", hidden, weight).float()
    return total / routing.mask.sum(-1, keepdim=True)


class Router(nn.Module):
    """Base of the routers.

    Attributes:
        two_passes: it reads the bare backbone's last hidden states: two forwards.
        by_text: its weights depend on the text; otherwise on the task and layer alone.
        by_rank: it weighs the ranks of an expert one by one (`Decision.ranks`).
        cache_safe: on a decoder its decision at a token depends on no later token, so that the
            states of a prefix are the same whatever follows.
        options: names of the whole numbers that its constructor takes beside the shape.
    """

    two_passes: ClassVar[bool] = False
    by_text: ClassVar[bool] = True
    by_rank: ClassVar[bool] = False
    cache_safe: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **shape: Unpack[RouterShape]) -> None:
        super().__init__()
        self.width, self.n_layers = shape["width"], shape["n_layers"]
        self.ranks = shape["ranks"]

    @property
    def n_experts(self) -> int:
        """How many experts exist."""
        return len(self.ranks)

    # -- what it is about ---------------------------------------------------------------------

    def bind(self, layers: Sequence[Sequence[RoutedLinear]]) -> None:
        """Get to know the routed linear layers of each transformer layer; most need none."""

    def expert_axes(self) -> Mapping[str, int]:
        """Its parameters with an entry for each expert, by name, and the axis of those entries."""
        return {}

    def add_expert(self, rank: int) -> None:
        """Make room for one more expert behind the others, whose logits stay as they are."""
        for name, axis in self.expert_axes().items():
            self._replace(name, partial(_grown, axis=axis))
        self.ranks = (*self.ranks, rank)

    def remove_expert(self, at: int) -> None:
        """Forget the expert at that position; the others' logits stay as they are."""
        for name, axis in self.expert_axes().items():
            self._replace(name, partial(_without, at=at, axis=axis))
        self.ranks = (*self.ranks[:at], *self.ranks[at + 1 :])

    def add_task(self, name: str) -> None:
        """Make room for one more task; most routers look at the text alone and need none."""

    def remove_task(self, name: str) -> None:
        """Forget a task."""

    def _replace(self, name: str, change: Callable[[Tensor], Tensor]) -> None:
        """Put a parameter of another shape in the place of one."""
        path, _, leaf = name.rpartition(".")
        owner, old = self.get_submodule(path), self.get_parameter(name)
        new = nn.Parameter(change(old.detach()), requires_grad=old.requires_grad)
        setattr(owner, leaf, new)

    # -- what it decides ----------------------------------------------------------------------

    def has_no_choice(self, n_experts: int) -> bool:
        """Whether a task of that many experts has nothing to weigh: its one expert has weight 1."""
        return n_experts == 1 and not self.by_rank

    def is_constant(self, n_experts: int) -> bool:
        """Whether a task of that many experts gets the same weights whatever the text says."""
        return not self.by_text or self.has_no_choice(n_experts)

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """Expert weights at one layer.

        Args:
            layer: 0 for the first transformer layer.
            hidden: its input `[rows, tokens, width]`.
            routing: the constants of this forward.
        """
        raise NotImplementedError


class GatedRouter(Router):
    """A router whose logits a gate turns into weights."""

    def __init__(self, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        self.gate = GATES[shape["gate"]](self.width)
        self.norm = nn.LayerNorm(self.width, elementwise_affine=False)

    def mix(self, layer: int, logits: Tensor, features: Tensor, routing: RoutingInput) -> Decision:
        """Gate the logits of one layer, an expert that a row may not use getting exactly 0.

        Args:
            layer: of the decision.
            logits: float32 `[rows, n, len(active)]`.
            features: float32 `[rows, n, width]`, for a gate that predicts its sparsity.
            routing: the constants of this forward.
        """
        allowed = routing.allowed_at(layer)
        decided: Decision = self.gate(logits.masked_fill(~allowed, MASKED), features)
        return replace(decided, weights=decided.weights * allowed)

    @staticmethod
    def linear(weight: Tensor, bias: Tensor, features: Tensor, active: tuple[int, ...]) -> Tensor:
        """Logits of the active experts only: `features @ weight[active].T + bias[active]`."""
        index = list(active)
        return torch.nn.functional.linear(features, weight[index], bias[index])


def _grown(old: Tensor, axis: int) -> Tensor:
    """With one more entry of zeros: how an untrained expert starts."""
    shape = [*old.shape]
    shape[axis] = 1
    return torch.cat([old, old.new_zeros(shape)], dim=axis)


def _without(old: Tensor, at: int, axis: int) -> Tensor:
    """Without one entry."""
    keep = [i for i in range(old.shape[axis]) if i != at]
    return old.index_select(axis, torch.tensor(keep, device=old.device, dtype=torch.int64))
