"""The routing of one forward: what its layers share while it runs, and nothing else sees."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unimoer_rag.model.layers.packing import current_packing
from unimoer_rag.model.routers import Decision, Router, RoutingInput
from unimoer_rag.model.tasks import Task

if TYPE_CHECKING:
    from unimoer_rag.model.layers.experts import ExpertSpec

__all__ = [
    "RoutingScope",
    "checkpoint_contexts",
    "current_scope",
    "make_scope",
    "routing_scope",
]


@dataclass(slots=True)
class RoutingScope:
    """The routing of one forward, seen by its layers; never stored on a module.

    Attributes:
        routing: the constants of the forward.
        strength: float32 `[rows, 1, 1]`: each row's task strength.
        scale: float32 `[ranks]`: `alpha / r` for every rank of the active experts.
        repeats: `[len(active)]`: the rank of each active expert.
        decisions: the router's answer at each transformer layer, in order.
        single: no row has a choice, since its task has one expert: the router is not asked.
        factor: what all rows multiply that expert's output by, where they are of one task.
        merged: the task of all rows, where its experts are folded into weights of their own and
            nothing is decided; else empty.
    """

    routing: RoutingInput
    strength: Tensor
    scale: Tensor
    repeats: Tensor
    decisions: list[Decision] = field(default_factory=list)
    single: bool = False
    factor: float | None = None
    merged: str = ""
    _weights: Tensor | None = None

    def shorten(
        self,
        tasks: Sequence[Task],
        experts: Mapping[str, ExpertSpec],
        router: Router,
        merged: Collection[Task],
    ) -> None:
        """Leave out, in inference, what gives the same without being asked or computed.

        Args:
            tasks: each row's task.
            experts: every expert of the model.
            router: decides over them.
            merged: tasks whose experts are folded into weights of their own (`merge_layers`).
        """
        distinct = set(tasks)
        heard = [task for task in distinct if task.strength]
        self.single = all(router.has_no_choice(len(task.experts)) for task in heard)
        if len(distinct) == 1:
            task = tasks[0]
            self.merged = task.name if task in merged else ""
            if self.single:
                self.factor = task.strength * experts[task.experts[0]].scale

    def show_frozen(self, hidden: Tensor) -> None:
        """Show the router the bare backbone's last hidden states `[rows, tokens, width]`."""
        self.routing = replace(self.routing, frozen=hidden)

    def enter(self, decision: Decision, dtype: torch.dtype) -> None:
        """Route one transformer layer by a decision."""
        self.decisions.append(decision)
        if self.factor is not None:
            return
        if decision.ranks is None:
            spread = (decision.weights * self.strength).repeat_interleave(self.repeats, dim=-1)
        else:  # each rank is an expert of rank 1: its scale is alpha
            own = self.repeats.repeat_interleave(self.repeats)
            spread = decision.ranks * self.strength * own
        weights = (spread * self.scale).to(dtype)
        packing = current_packing()
        self._weights = weights if packing is None else packing.pack(weights)

    @property
    def entered(self) -> bool:
        """Whether a transformer layer has been routed, or needs no routing of its own."""
        return self._weights is not None or self.factor is not None

    def weights(self, held: tuple[str, ...]) -> Tensor:
        """What to multiply the down-projections of those experts by.

        Only of a layer that was routed, and where there is no `factor`.
        """
        assert self._weights is not None
        if held == self.routing.experts:
            return self._weights
        # A linear layer without some of the active experts.
        has = torch.tensor([e in held for e in self.routing.experts], device=self.repeats.device)
        return self._weights[..., has.repeat_interleave(self.repeats)]


# A context variable, not an attribute: threads and tasks running the same module never meet.
_SCOPE: ContextVar[RoutingScope | None] = ContextVar("unimoer_routing", default=None)


def make_scope(
    tasks: Sequence[Task],
    experts: Mapping[str, ExpertSpec],
    *,
    n_layers: int,
    mask: Tensor,
    causal: bool,
) -> RoutingScope | None:
    """The routing of one batch; None where no row has an expert to use.

    Args:
        tasks: each row's task.
        experts: every expert of the model, in order.
        n_layers: how many transformer layers there are.
        mask: bool `[rows, tokens]`: real tokens.
        causal: the backbone is a decoder.
    """
    names = {e for task in set(tasks) if task.strength for e in task.experts}
    # Only what some row may use takes part: an expert added later leaves this arithmetic alone.
    active = tuple(i for i, name in enumerate(experts) if name in names)
    if not active:
        return None
    chosen = tuple(name for name in experts if name in names)
    allowed = torch.tensor([[name in task.experts for name in chosen] for task in tasks])
    specs = [experts[name] for name in chosen]
    repeats = torch.tensor([spec.rank for spec in specs])
    scale = torch.tensor([spec.scale for spec in specs]).repeat_interleave(repeats)
    strength = torch.tensor([task.strength for task in tasks]).view(-1, 1, 1)
    present = None
    if any(spec.layers for spec in specs):
        placed = [[spec.in_layer(at) for spec in specs] for at in range(n_layers)]
        present = torch.tensor(placed).to(mask.device)
    return RoutingScope(
        routing=RoutingInput(
            tasks=tuple(task.name for task in tasks),
            active=active,
            experts=chosen,
            scales=tuple(spec.scale for spec in specs),
            allowed=allowed.to(mask.device),
            mask=mask,
            causal=causal,
            present=present,
        ),
        strength=strength.to(mask.device),
        scale=scale.to(mask.device),
        repeats=repeats.to(mask.device),
    )


class _Routed(AbstractContextManager[None]):
    """One scope in force; may be entered again after it was left."""

    def __init__(self, scope: RoutingScope | None) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        self._token = _SCOPE.set(self._scope)

    def __exit__(self, *_: object) -> None:
        _SCOPE.reset(self._token)


def current_scope() -> RoutingScope | None:
    """The scope in force; None where experts are off."""
    return _SCOPE.get()


def routing_scope(scope: RoutingScope | None) -> AbstractContextManager[None]:
    """Route the forwards inside the block by `scope`; None switches all experts off."""
    return _Routed(scope)


def checkpoint_contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The `context_fn` of `torch.utils.checkpoint` under which layers may run again.

    Activation checkpointing runs a layer a second time in the backward pass, after the forward
    that set the routing is over: the second run gets the routing of the first. For
    `backbone.activation_checkpointing_enable({"use_reentrant": False, "context_fn": ...})`.
    """
    scope = _SCOPE.get()
    again = None if scope is None else replace(scope, decisions=[])
    return nullcontext(), routing_scope(again)
