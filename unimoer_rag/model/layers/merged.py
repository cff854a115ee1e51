"""Tasks whose experts are folded into weights of their own: `W + sum_e w_e B_e A_e`.

Where the routing of a task is constant, its experts need not run beside the frozen layers. That
takes their time away and costs the memory of those layers once more for each merged task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.onednn import dense, to_onednn
from unimoer_rag.model.layers.scope import make_scope
from unimoer_rag.model.tasks import Task

if TYPE_CHECKING:
    from unimoer_rag.model.core import RoutedModel
    from unimoer_rag.model.layers.experts import ExpertSpec, RoutedLinear

__all__ = ["constant_weights", "fold", "layer_index", "merge_layers"]


def merge_layers(
    layers: Mapping[str, RoutedLinear],
    experts: Mapping[str, ExpertSpec],
    tasks: Mapping[Task, Tensor],
    dtype: torch.dtype,
) -> None:
    """Fold the experts of some tasks into every routed layer, in place of what was folded in.

    Args:
        layers: by name in the backbone.
        experts: every expert of the model, in order.
        tasks: the weight of each task's experts, as `constant_weights` gives them.
        dtype: what the backbone computes in.
    """
    for routed in layers.values():
        routed.merged.clear()
    for task, weights in tasks.items():
        for path, routed in layers.items():
            factors = _factors(experts, task, weights[layer_index(path)])
            routed.merged[task.name] = _merged(routed, factors, dtype)


def fold(
    weight: Tensor,
    path: str,
    routed: RoutedLinear,
    experts: Mapping[str, ExpertSpec],
    task: Task,
    weights: Tensor,
) -> Tensor:
    """A layer's weight with a task's experts added to it.

    Args:
        weight: the frozen layer's `[out, in]`.
        path: the layer's name in the backbone.
        routed: the layer with its experts.
        experts: every expert of the model, in order.
        task: the task.
        weights: of its experts, as `constant_weights` gives them.

    Returns:
        `[out, in]`, of the weight's dtype and on its device.
    """
    return _folded(weight, routed, _factors(experts, task, weights[layer_index(path)]))


def _factors(experts: Mapping[str, ExpertSpec], task: Task, at_layer: Tensor) -> dict[str, float]:
    """What each expert of a task is multiplied by in a layer, by name."""
    names = [name for name in experts if name in task.experts]
    weighed = zip(names, at_layer.tolist(), strict=True)
    return {name: weight * experts[name].scale for name, weight in weighed}


def _merged(routed: RoutedLinear, factors: dict[str, float], dtype: torch.dtype) -> nn.Module:
    """The frozen layer with some experts added to it, each times its factor."""
    base = routed.base
    whole = _folded(dense(base).to(dtype), routed, factors)
    merged = nn.Linear(base.in_features, base.out_features, base.bias is not None, device="meta")
    merged.weight = nn.Parameter(whole, requires_grad=False)
    if base.bias is not None:
        merged.bias = nn.Parameter(base.bias, requires_grad=False)
    return to_onednn(merged)


@torch.no_grad()
def _folded(weight: Tensor, routed: RoutedLinear, factors: dict[str, float]) -> Tensor:
    """A weight with some experts added to it, each times its factor."""
    total = weight.float()
    for name, factor in factors.items():
        if factor and name in routed.lora_A:
            down, up = routed.lora_A[name].float(), routed.lora_B[name].float()
            total = total + factor * (up @ down).to(total.device)
    return total.to(weight.dtype)


def constant_weights(model: RoutedModel, task: Task) -> Tensor:
    """The routing weights of a task whose router does not look at the text.

    Args:
        model: the model.
        task: one of its tasks; with a single expert, that expert's weight is always 1, but for a
            router that weighs its ranks one by one.

    Returns:
        float32 `[layers, experts of the task in the model's order]`.

    Raises:
        InputError: the router looks at the text.
    """
    if not model.router.is_constant(len(task.experts)):
        raise InputError(
            f"the {model.spec.router} router weighs the experts of {task.name!r} by the text: only "
            "a task-explicit or switch router, or a task with one expert, has constant weights"
        )
    if model.router.has_no_choice(len(task.experts)):
        return torch.ones(model.n_layers, 1, device=model.device)
    one = torch.ones(1, 1, dtype=torch.bool, device=model.device)
    loud = [task.with_strength(1.0)]  # at strength 0 nothing would be asked
    scope = make_scope(loud, model.experts, n_layers=model.n_layers, mask=one, causal=model.causal)
    if scope is None:
        return torch.ones(model.n_layers, 0, device=model.device)
    nothing = torch.zeros(1, 1, model.width, device=model.device)
    with torch.no_grad():
        decided = [model.router(at, nothing, scope.routing) for at in range(model.n_layers)]
    return torch.stack([decision.weights.view(-1) for decision in decided])


def layer_index(path: str) -> int:
    """Which transformer layer a linear layer is part of: the first number in its path."""
    return next(int(part) for part in path.split(".") if part.isdigit())
