"""What a recipe will cost: parameters exactly, memory and time from first principles.

All is counted on the recipe's own model without weights: what a forward computes and keeps for the
backward pass by torch itself, which computes as much again for the gradient of the input, and once
more for that of a weight that is trained (Kaplan et al. 2020, 2001.08361, section 2.1). Computed,
never measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any, NamedTuple

import torch

from unimoer_rag.cost.forward import Activations, Operations, backbone_operations, trace_activations
from unimoer_rag.model import HEADS, UniMoER, parameters_by_name
from unimoer_rag.training import Recipe, rate_of, skeleton_of

__all__ = [
    "DEVICES",
    "Device",
    "DrawnRows",
    "Estimate",
    "Memory",
    "drawn_rows",
    "estimate",
    "forward_flops",
    "row_flops",
]

# Longer than any task takes.
_ENDLESS = 10**6
# Share of a device's peak that training is taken to reach.
_REACHED = 0.35


class Device(NamedTuple):
    """What a recipe may run on.

    Attributes:
        flops: its dense peak a second, in the number format that recipes use there.
        dtype: that "auto" gives there.
    """

    flops: float
    dtype: torch.dtype


DEVICES: Mapping[str, Device] = {
    "H200": Device(989e12, torch.bfloat16),
    "A100-80GB": Device(312e12, torch.bfloat16),
    "laptop CPU": Device(0.5e12, torch.float32),
}
"""Peaks of the first two are the manufacturer's, of the last eight cores with AVX2 at 2 GHz."""


class DrawnRows(NamedTuple):
    """Rows of one length in a draw of an objective.

    Attributes:
        task: they are of.
        n: how many.
        tokens: length of each.
        anchored: the frozen backbone sees them too.
    """

    task: str
    n: int
    tokens: int
    anchored: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the peak of a step, what CUDA itself and fragmentation take not included.

    Attributes:
        backbone: its frozen weights.
        trained: experts, router and heads, in float32.
        gradients: of those with a rate above 0.
        moments: AdamW's two for each of them.
        activations: kept for the backward pass, texts as long as their tasks allow.
    """

    backbone: int
    trained: int
    gradients: int
    moments: int
    activations: int

    @property
    def total(self) -> int:
        """Of all parts."""
        return sum(astuple(self))


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a recipe.

    Attributes:
        backbone: parameters of the backbone.
        experts: parameters of each expert.
        router: parameters of the router.
        heads: parameters of each head.
        learning: parameters with a learning rate above 0.
        passage_tokens: assumed mean length of a passage.
        query_tokens: assumed mean length of a query.
        tokens: of a mean step.
        flops: of a mean step.
        steps: of the recipe.
        memory: at the peak, by the name of the device.
        seconds: of the whole run, by the name of the device.
    """

    backbone: int
    experts: Mapping[str, int]
    router: int
    heads: Mapping[str, int]
    learning: int
    passage_tokens: int
    query_tokens: int
    tokens: float
    flops: float
    steps: int
    memory: Mapping[str, Memory]
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        found = asdict(self)
        for name, memory in self.memory.items():
            found["memory"][name]["total"] = memory.total
        return found


def estimate(recipe: Recipe, *, passage_tokens: int = 160, query_tokens: int = 24) -> Estimate:
    """The cost of a recipe, from its own sizes alone.

    Time is that of training steps; mining, validation and loading come on top.

    Args:
        recipe: what would be run.
        passage_tokens: mean length of a passage; texts are cut to their task's `max_tokens`.
        query_tokens: mean length of a query.

    Raises:
        BackboneError: the backbone's configuration cannot be had.
        InputError: the recipe's router, experts or tasks do not fit the backbone.
    """
    model, optimizer = skeleton_of(recipe), recipe.optimizer
    sizes, named = _sizes(model), parameters_by_name(model)
    learning = sum(p.numel() for name, p in named.items() if rate_of(name, optimizer) > 0)
    backbone = sum(p.numel() for p in model.backbone.parameters()) - sizes["experts"].total()
    each = backbone_operations(model.backbone)
    flops = n_tokens = 0.0
    for name, drawn in drawn_rows(recipe, passage_tokens, query_tokens).items():
        share = optimizer.accumulate / recipe.objectives[name].every
        n_tokens += share * sum(r.n * r.tokens for r in drawn)
        flops += share * sum(row_flops(recipe, model, each, r) for r in drawn)
    chosen = None if recipe.dtype == "auto" else getattr(torch, recipe.dtype)
    dtypes = {name: chosen or device.dtype for name, device in DEVICES.items()}
    memory = {
        dtype: Memory(
            backbone=backbone * dtype.itemsize,
            trained=4 * sum(p.numel() for p in named.values()),
            gradients=4 * learning,
            moments=8 * learning,
            activations=_kept(recipe, model, query_tokens, dtype),
        )
        for dtype in set(dtypes.values())
    }
    return Estimate(
        backbone=backbone,
        experts=dict(sizes["experts"]),
        router=sizes["router"].total(),
        heads=dict(sizes["heads"]),
        learning=learning,
        passage_tokens=passage_tokens,
        query_tokens=query_tokens,
        tokens=n_tokens,
        flops=flops,
        steps=optimizer.steps,
        memory={name: memory[dtype] for name, dtype in dtypes.items()},
        seconds={n: optimizer.steps * flops / (d.flops * _REACHED) for n, d in DEVICES.items()},
    )


def drawn_rows(
    recipe: Recipe, passage_tokens: int, query_tokens: int
) -> dict[str, list[DrawnRows]]:
    """The rows of one draw of each objective, with texts of those lengths.

    Args:
        recipe: the recipe.
        passage_tokens: length of a passage, cut to what the task allows.
        query_tokens: length of a query, cut likewise.
    """
    tasks = {task.name: task for task in recipe.tasks}
    found: dict[str, list[DrawnRows]] = {}
    for name, objective in recipe.objectives.items():
        task = tasks[objective.task]
        n = objective.size
        n_passages = n * (1 + getattr(objective, "negatives", 0))
        shapes = [(n_passages, query_tokens + passage_tokens)]
        if objective.kind in ("contrastive", "ranking") and not HEADS[task.head].joint:
            shapes = [(n, query_tokens), (n_passages, passage_tokens)]
        anchored = getattr(objective, "anchored", False)
        found[name] = [
            DrawnRows(task.name, n_rows, min(tokens, task.max_tokens), anchored)
            for n_rows, tokens in shapes
        ]
    return found


def row_flops(recipe: Recipe, model: UniMoER, each: Operations, rows: DrawnRows) -> int:
    """Floating point operations that a training step spends on some rows."""
    frozen, attention, trained = forward_flops(model, each, rows.task, rows.tokens)
    passes = 1 + recipe.gradient_checkpointing + recipe.optimizer.grad_cache
    forward = passes * (frozen + attention + trained)
    # Backward: the base needs the gradient of its input alone.
    backward = frozen + 2 * attention + 2 * trained
    anchor = (frozen + attention) if rows.anchored else 0
    return rows.n * (forward + backward + anchor)


def forward_flops(model: UniMoER, each: Operations, task: str, tokens: int) -> tuple[int, int, int]:
    """Operations of a row's forward: frozen layers, attention, experts and head.

    Args:
        model: a skeleton, or a model with weights.
        each: of its backbone.
        task: of the row, by name.
        tokens: length of the row.
    """
    sizes = _sizes(model)
    trained = sum(sizes["experts"][name] for name in model.task(task).experts)
    if model.task(task).head_type.by_token:
        trained += sizes["heads"][task]
    return each.token * tokens, each.pair * tokens * tokens, 2 * trained * tokens


def _sizes(model: UniMoER) -> dict[str, Counter[str]]:
    """Parameters of experts, router and heads, each by the names in it."""
    sizes: dict[str, Counter[str]] = {kind: Counter() for kind in ("experts", "router", "heads")}
    for name, parameter in parameters_by_name(model).items():
        kind, owner, *_ = name.split(".")
        sizes[kind][owner] += parameter.numel()
    return sizes


def _kept(recipe: Recipe, model: UniMoER, query_tokens: int, dtype: torch.dtype) -> int:
    """Bytes of activations at the peak of a step, with passages as long as their tasks allow.

    Without GradCache the graphs of a whole draw wait for its losses, with it those of one batch.
    While a layer's backward runs, its gradients take at most as much as it kept.
    """
    drawn = [r for rows in drawn_rows(recipe, _ENDLESS, query_tokens).values() for r in rows]
    experts = {name for r in drawn for name in model.task(r.task).experts}
    fused = recipe.attention == "sdpa"

    def traced(n: int, tokens: int) -> Activations:
        return trace_activations(
            model, rows=n, tokens=tokens, experts=experts, dtype=dtype, fused_attention=fused
        )

    longest = max(drawn, key=lambda r: r.tokens)
    n_rows = max(1, min(recipe.optimizer.token_budget // longest.tokens, longest.n))
    batch = traced(n_rows, longest.tokens)
    held = [batch] if recipe.optimizer.grad_cache else [traced(r.n, r.tokens) for r in drawn]
    if recipe.gradient_checkpointing:
        return sum(each.inputs for each in held) + 2 * batch.layer
    return sum(each.whole for each in held) + batch.layer
