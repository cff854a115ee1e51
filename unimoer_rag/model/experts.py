"""The routed low-rank layer: a frozen linear map plus every expert, in two matrix products.

    y = W x + B ((w (x) 1_r) * (A x)) * alpha / r

`A` stacks the experts' down-projections and `B` their up-projections; `w` are the row's routing
weights, repeated over each expert's ranks. No tensor with an expert axis is ever made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.routers import Router, RoutingInput
from unimoer_rag.model.tasks import Task

__all__ = [
    "ExpertSpec",
    "RoutedLinear",
    "RoutingScope",
    "attach_experts",
    "attach_router",
    "make_scope",
    "routing_scope",
]


@dataclass(frozen=True, slots=True)
class ExpertSpec:
    """Size of one expert: LoRA rank and alpha (its scale is `alpha / rank`).

    Raises:
        InputError: either is not above zero.
    """

    rank: int
    alpha: float

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 < self.alpha < float("inf"):  # NaN fails this too
            raise InputError(
                f"an expert of rank {self.rank} and alpha {self.alpha}: expected a rank of at "
                "least 1 and an alpha above 0"
            )

    @property
    def scale(self) -> float:
        """The factor on the expert's output."""
        return self.alpha / self.rank


@dataclass(slots=True)
class RoutingScope:
    """The routing of one forward, seen by its layers; never stored on a module.

    Attributes:
        routing: the constants of the forward.
        experts: names of the active experts, in order.
        strength: float32 `[rows, 1, 1]`: each row's task strength.
        scale: float32 `[ranks]`: `alpha / r` for every rank of the active experts.
        repeats: `[len(active)]`: the rank of each active expert.
        weights: what the routed layers multiply by, set anew at each transformer layer.
        trace: float32 routing weights of each layer, in order.
    """

    routing: RoutingInput
    experts: tuple[str, ...]
    strength: Tensor
    scale: Tensor
    repeats: Tensor
    weights: Tensor | None = None
    trace: list[Tensor] = field(default_factory=list)


# A context variable, not an attribute: threads and tasks running the same module never meet.
_SCOPE: ContextVar[RoutingScope | None] = ContextVar("unimoer_routing", default=None)


def make_scope(
    tasks: Sequence[Task], experts: Mapping[str, ExpertSpec], *, mask: Tensor, causal: bool
) -> RoutingScope | None:
    """The routing of one batch; None where no row has an expert to use.

    Args:
        tasks: each row's task.
        experts: every expert of the model, in order.
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
    return RoutingScope(
        routing=RoutingInput(
            tasks=tuple(task.name for task in tasks),
            active=active,
            allowed=allowed.to(mask.device),
            mask=mask,
            causal=causal,
        ),
        experts=chosen,
        strength=strength.to(mask.device),
        scale=scale.to(mask.device),
        repeats=repeats.to(mask.device),
    )


@contextmanager
def routing_scope(scope: RoutingScope | None) -> Iterator[None]:
    """Route the forwards inside the block by `scope`; None switches all experts off."""
    token = _SCOPE.set(scope)
    try:
        yield
    finally:
        _SCOPE.reset(token)


def attach_router(layers: nn.ModuleList, router: Router) -> None:
    """Ask the router at the entry of every transformer layer.

    Args:
        layers: the backbone's transformer layers, in order.
        router: decides from the layer's input `[rows, tokens, width]`.
    """
    for index, layer in enumerate(layers):

        def decide(
            module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], at: int = index
        ) -> None:
            scope = _SCOPE.get()
            if scope is None:
                return
            hidden = args[0] if args else kwargs["hidden_states"]
            weights = router(at, hidden, scope.routing)
            scope.trace.append(weights)
            spread = (weights * scope.strength).repeat_interleave(scope.repeats, dim=-1)
            scope.weights = (spread * scope.scale).to(hidden.dtype)

        layer.register_forward_pre_hook(decide, with_kwargs=True)  # type: ignore[arg-type]


def attach_experts(
    layers: nn.ModuleList, experts: Mapping[str, ExpertSpec], targets: Sequence[str]
) -> None:
    """Put a routed layer in the place of every targeted linear layer.

    Args:
        layers: the backbone's transformer layers.
        experts: each expert's size, by name, in order.
        targets: names of linear layers, without their parents'; all of them when empty.

    Raises:
        InputError: a target is the name of no linear layer, or there is none at all.
    """
    found = [
        (parent, name, child)
        for parent in layers.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    names = sorted({name for _, name, _ in found})
    unknown = sorted(set(targets) - set(names))
    if unknown or not found:
        raise InputError(
            f"the backbone has no linear layer called {', '.join(unknown) or 'anything'}: "
            f"expected targets among {', '.join(names) or 'none'}"
        )
    for parent, name, child in found:
        if not targets or name in targets:
            setattr(parent, name, RoutedLinear(child, experts))


class RoutedLinear(nn.Module):
    """A frozen `nn.Linear` with its experts beside it.

    `A` is initialised Kaiming-uniform and `B` to zero (LoRA), so that a new expert changes nothing.

    Args:
        base: the frozen layer; kept as it is.
        experts: each expert's size, by name, in order.
    """

    def __init__(self, base: nn.Linear, experts: Mapping[str, ExpertSpec]) -> None:
        super().__init__()
        self.base = base
        self.lora_A = nn.ParameterDict()
        self.lora_B = nn.ParameterDict()
        self._fused: tuple[object, Tensor, Tensor] | None = None
        for name, spec in experts.items():
            self.add_expert(name, spec)

    def add_expert(self, name: str, spec: ExpertSpec) -> None:
        """Add one expert, silent until trained."""
        device = self.base.weight.device
        down = torch.empty(spec.rank, self.base.in_features, device=device, dtype=torch.float32)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        up = torch.zeros(self.base.out_features, spec.rank, device=device, dtype=torch.float32)
        self.lora_A[name] = nn.Parameter(down)
        self.lora_B[name] = nn.Parameter(up)

    def fused(self, experts: tuple[str, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """`A [ranks, in]` and `B [out, ranks]` of some experts, kept between inference calls."""
        downs = [self.lora_A[name] for name in experts]
        ups = [self.lora_B[name] for name in experts]
        if torch.is_grad_enabled():
            return torch.cat(downs).to(dtype), torch.cat(ups, dim=1).to(dtype)
        # An in-place change of any expert raises its version, a replaced one has another address.
        key = (experts, dtype, *((p.data_ptr(), p._version) for p in (*downs, *ups)))
        kept = self._fused
        if kept is None or kept[0] != key:
            kept = (key, torch.cat(downs).to(dtype), torch.cat(ups, dim=1).to(dtype))
            self._fused = kept
        return kept[1], kept[2]

    def forward(self, x: Tensor) -> Tensor:
        """`[rows, tokens, in]` to `[rows, tokens, out]`, routed by the scope in force."""
        y: Tensor = self.base(x)
        scope = _SCOPE.get()
        if scope is None or scope.weights is None:
            return y
        down, up = self.fused(scope.experts, x.dtype)
        return y + functional.linear(functional.linear(x, down) * scope.weights, up)
