"""The routed low-rank layer: a frozen linear map plus every expert, in two matrix products.

    y = W x + B ((w (x) 1_r) * (A x)) * alpha / r

`A` stacks the experts' down-projections and `B` their up-projections; `w` are the row's routing
weights, repeated over each expert's ranks. No tensor with an expert axis is ever made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.packing import current_packing
from unimoer_rag.model.layers.quantized import QuantizedLinear
from unimoer_rag.model.layers.scope import RoutingScope, current_scope
from unimoer_rag.model.routers import Decision, Router

__all__ = [
    "ExpertSpec",
    "RoutedLinear",
    "attach_experts",
    "attach_router",
    "is_target",
    "place_expert",
]


@dataclass(frozen=True, slots=True)
class ExpertSpec:
    """Size and place of one expert.

    Attributes:
        rank: LoRA rank.
        alpha: LoRA alpha; the expert's scale is `alpha / rank`.
        targets: the linear layers that have it, among those the model routes: by name ("query"),
            path in the layer ("output.dense") or block ("attention"); all of them when empty.
        layers: the transformer layers that have it, 0 for the first; all of them when empty.
            Different numbers of experts by layer are MoLA's allocation (NAACL Findings 2025).

    Raises:
        InputError: rank or alpha is not above zero.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()

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

    def in_layer(self, layer: int) -> bool:
        """Whether a transformer layer has it."""
        return not self.layers or layer in self.layers


def attach_router(layers: Sequence[nn.Module], router: Router) -> None:
    """Show the router its layers, and ask it at the entry of every transformer layer.

    Args:
        layers: the backbone's transformer layers, in order, with their experts attached.
        router: decides from the layer's input `[rows, tokens, width]`.

    Raises:
        InputError: the router needs what the layers do not have.
    """
    router.bind([[m for m in layer.modules() if isinstance(m, RoutedLinear)] for layer in layers])
    for index, layer in enumerate(layers):

        def decide(
            module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], at: int = index
        ) -> None:
            scope = current_scope()
            if scope is None or scope.merged:
                return
            hidden = args[0] if args else kwargs["hidden_states"]
            if scope.single:
                only = scope.routing.allowed_at(at).float()
                scope.enter(Decision(only), hidden.dtype)
                return
            packing = current_packing()
            seen = hidden if packing is None else packing.pad(hidden)
            scope.enter(router(at, seen, scope.routing), hidden.dtype)

        layer.register_forward_pre_hook(decide, with_kwargs=True)  # type: ignore[arg-type]


def attach_experts(
    layers: Sequence[nn.Module], experts: Mapping[str, ExpertSpec], targets: Sequence[str]
) -> None:
    """Put a routed layer in the place of every targeted linear layer.

    Args:
        layers: the backbone's transformer layers.
        experts: each expert's size and place, by name, in order.
        targets: see `is_target`; all linear layers when empty.

    Raises:
        InputError: a target is the name of no linear layer, there is none at all, or an expert
            has no place among them.
    """
    found = [
        (layer, path, child)
        for layer in layers
        for path, child in layer.named_modules()
        if isinstance(child, nn.Linear | QuantizedLinear)
    ]
    paths = {path for _, path, _ in found}
    unknown = _unknown(targets, paths)
    if unknown or not found:
        raise InputError(
            f"the backbone has no linear layer called {', '.join(unknown) or 'anything'}: "
            f"expected targets among {_choices(paths) or 'none'}"
        )
    for layer, path, child in found:
        if not targets or any(is_target(path, target) for target in targets):
            parent, _, name = path.rpartition(".")
            setattr(layer.get_submodule(parent), name, RoutedLinear(child))
    for expert, spec in experts.items():
        place_expert(layers, expert, spec)


def place_expert(layers: Sequence[nn.Module], name: str, spec: ExpertSpec) -> None:
    """Add one silent expert to the routed linear layers where its specification puts it.

    Args:
        layers: the backbone's transformer layers, in order.
        name: the expert's.
        spec: its size and place.

    Raises:
        InputError: a target or a layer of the expert does not exist; nothing was added.
    """
    routed = [
        (index, path, module)
        for index, layer in enumerate(layers)
        for path, module in layer.named_modules()
        if isinstance(module, RoutedLinear)
    ]
    paths = {path for _, path, _ in routed}
    unknown = _unknown(spec.targets, paths)
    if unknown:
        raise InputError(
            f"the expert {name!r} targets {', '.join(unknown)}, which is no routed linear layer: "
            f"expected some of {_choices(paths)}"
        )
    if spec.layers and not 0 <= min(spec.layers) <= max(spec.layers) < len(layers):
        raise InputError(
            f"the expert {name!r} is placed in the transformer layers {list(spec.layers)}: "
            f"expected numbers from 0 to {len(layers) - 1}"
        )
    for index, path, module in routed:
        aimed = not spec.targets or any(is_target(path, target) for target in spec.targets)
        if spec.in_layer(index) and aimed:
            module.add_expert(name, spec)


def is_target(path: str, target: str) -> bool:
    """Whether a target names a linear layer of a transformer layer.

    Args:
        path: of the linear layer inside the transformer layer, such as "attention.self.query".
        target: its last name ("query"), its whole path, or a block that it is in ("attention").
    """
    return path == target or path.rpartition(".")[2] == target or path.startswith(f"{target}.")


def _unknown(targets: Sequence[str], paths: Collection[str]) -> list[str]:
    """The targets that name none of the linear layers."""
    return sorted(t for t in set(targets) if not any(is_target(path, t) for path in paths))


def _choices(paths: Collection[str]) -> str:
    """What targets may be called, for messages."""
    names = sorted({path.rpartition(".")[2] for path in paths})
    blocks = sorted({path.partition(".")[0] for path in paths if "." in path})
    return ", ".join(names) + (f" (blocks: {', '.join(blocks)})" if blocks else "")


class RoutedLinear(nn.Module):
    """A frozen linear layer with its experts beside it.

    `A` is initialised Kaiming-uniform and `B` to zero (LoRA), so that a new expert changes nothing.

    Args:
        base: the frozen layer; kept as it is.
        experts: size of each expert it has from the start, by name, in order.

    Attributes:
        merged: by task, the layer with the task's experts folded in (`UniMoER.merge`).
    """

    def __init__(
        self,
        base: nn.Linear | QuantizedLinear,
        experts: Mapping[str, ExpertSpec] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.base = base
        self.lora_A = nn.ParameterDict()
        self.lora_B = nn.ParameterDict()
        self.merged = nn.ModuleDict()
        self._fused: tuple[object, Tensor, Tensor] | None = None
        for name, spec in experts.items():
            self.add_expert(name, spec)

    @property
    def weight(self) -> Tensor | None:
        """The frozen layer's weights, whose dtype some architectures ask for; None of codes."""
        weight = self.base.weight
        return weight if weight.is_floating_point() else None

    def add_expert(self, name: str, spec: ExpertSpec) -> None:
        """Add one expert, silent until trained."""
        device = self.base.weight.device
        down = torch.empty(spec.rank, self.base.in_features, device=device, dtype=torch.float32)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        up = torch.zeros(self.base.out_features, spec.rank, device=device, dtype=torch.float32)
        self.lora_A[name] = nn.Parameter(down)
        self.lora_B[name] = nn.Parameter(up)

    def remove_expert(self, name: str) -> None:
        """Forget one expert; nothing to do where it is not."""
        if name in self.lora_A:
            del self.lora_A[name], self.lora_B[name]
            self._fused = None  # another expert of the name could come to the same address

    def pack(self) -> None:
        """Hold the experts in float16."""
        for parameter in (*self.lora_A.values(), *self.lora_B.values()):
            parameter.data = parameter.data.half()

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
        scope = current_scope()
        if scope is None:
            return self.base(x)  # type: ignore[no-any-return]
        if scope.merged:
            return self.merged[scope.merged](x)  # type: ignore[no-any-return]
        held = tuple(name for name in scope.routing.experts if name in self.lora_A)
        if not held or not scope.entered:
            return self.base(x)  # type: ignore[no-any-return]
        return self._beside(x, held, scope)

    def _beside(self, x: Tensor, held: tuple[str, ...], scope: RoutingScope) -> Tensor:
        """The frozen layer, and the experts beside it."""
        y: Tensor = self.base(x)
        down, up = self.fused(held, x.dtype)
        mixed = functional.linear(x, down)
        if scope.factor is None:
            # T5 keeps a part of its layers in float32 beside float16.
            mixed = mixed * scope.weights(held).to(mixed.dtype)
        if torch.is_grad_enabled():
            rows, narrow = y.view(-1, y.shape[-1]), mixed.view(-1, mixed.shape[-1])
            return torch.addmm(rows, narrow, up.T).view_as(y)
        # The product adds to what the frozen layer gave, which nobody else holds.
        factor = 1.0 if scope.factor is None else scope.factor
        rows = y.view(-1, y.shape[-1])
        rows.addmm_(mixed.view(-1, mixed.shape[-1]), up.T, alpha=factor)
        return y
