"""Tasks whose experts are folded into weights of their own: `W + sum_e w_e B_e A_e`.

Where the routing of a task is constant, its experts need not run beside the frozen layers. That
takes their time away and costs the memory of those layers once more for each merged task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.onednn import dense, to_onednn
from unimoer_rag.model.layers.scope import make_scope
from unimoer_rag.model.tasks import Task

if TYPE_CHECKING:
    from unimoer_rag.model.layers.experts import RoutedLinear
    from unimoer_rag.model.unimoer import UniMoER

__all__ = ["constant_weights", "layer_index", "merge_tasks"]


def merge_tasks(model: UniMoER, tasks: Sequence[Task]) -> None:
    """See `UniMoER.merge`."""
    weights = [constant_weights(model, task) * task.strength for task in tasks]
    model.merged = ()
    routed_layers = model.routed_layers()
    for routed in routed_layers.values():
        routed.merged.clear()
    for task, constant in zip(tasks, weights, strict=True):
        names = [name for name in model.experts if name in task.experts]
        for path, routed in routed_layers.items():
            at_layer = dict(zip(names, constant[layer_index(path)].tolist(), strict=True))
            routed.merged[task.name] = _merged(model, routed, at_layer)
    model.merged = tuple(tasks)


@torch.no_grad()
def _merged(model: UniMoER, routed: RoutedLinear, weights: dict[str, float]) -> nn.Module:
    """The frozen layer with some experts added to it, each by its weight."""
    base = routed.base
    whole = dense(base).to(model.dtype)
    total = whole.float()
    for name, weight in weights.items():
        if weight and name in routed.lora_A:
            down, up = routed.lora_A[name].float(), routed.lora_B[name].float()
            total = total + weight * model.experts[name].scale * (up @ down)
    merged = nn.Linear(base.in_features, base.out_features, base.bias is not None, device="meta")
    merged.weight = nn.Parameter(total.to(whole.dtype), requires_grad=False)
    if base.bias is not None:
        merged.bias = nn.Parameter(base.bias, requires_grad=False)
    return to_onednn(merged)


def constant_weights(model: UniMoER, task: Task) -> Tensor:
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
            f"the {model.router_kind} router weighs the experts of {task.name!r} by the text: only "
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
