"""What a recipe will cost: parameters exactly, memory and time from first principles.

Parameters and what autograd keeps are counted on the recipe's own model without weights; floating
point operations follow from the sizes of its linear layers: 2 for each weight and token forward, as
many again for the gradient of the input, and as many for that of the weight where it is trained
(Kaplan et al. 2020, 2001.08361, section 2.1). Computed, never measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from unimoer_rag.model import HEADS, RoutedLinear, UniMoER, parameters_by_name
from unimoer_rag.training.activations import Activations, trace_activations
from unimoer_rag.training.objectives import config
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.skeleton import skeleton

# Longer than any task takes.
_ENDLESS = 10**6

__all__ = [
    "DEVICES",
    "Device",
    "Estimate",
    "Memory",
    "Rows",
    "estimate",
    "forward_flops",
    "row_flops",
    "rows_of",
]


@dataclass(frozen=True, slots=True)
class Device:
    """What a recipe may run on.

    Attributes:
        name: of the device.
        flops: its dense peak a second, in the number format that recipes use there.
        memory: bytes.
        dtype: that "auto" gives there.
        utilisation: share of the peak that training is taken to reach.
    """

    name: str
    flops: float
    memory: float
    dtype: torch.dtype = torch.bfloat16
    utilisation: float = 0.35


DEVICES: tuple[Device, ...] = (
    Device("H200", 989e12, 141e9),
    Device("A100-80GB", 312e12, 80e9),
    Device("laptop CPU", 0.5e12, 16e9, dtype=torch.float32),
)
"""Peaks of the first two are the manufacturer's, of the last eight cores with AVX2 at 2 GHz."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one length that an objective draws.

    Attributes:
        task: they are of.
        n: how many a draw.
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
        return self.backbone + self.trained + self.gradients + self.moments + self.activations


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
    model = skeleton(recipe)
    experts: dict[str, int] = {}
    heads: dict[str, int] = {}
    trained = learning = 0
    for name, parameter in parameters_by_name(model).items():
        kind, owner, *_ = name.split(".")
        size = parameter.numel()
        if kind != "router":
            sizes = experts if kind == "experts" else heads
            sizes[owner] = sizes.get(owner, 0) + size
        trained += size
        learning += size if _learns(name, recipe.optimizer.learning_rate) else 0
    backbone = sum(p.numel() for p in model.backbone.parameters()) - sum(experts.values())
    router = trained - sum(experts.values()) - sum(heads.values())
    flops = n_tokens = 0.0
    for name, rows in rows_of(recipe, passage_tokens, query_tokens).items():
        share = recipe.optimizer.accumulate / recipe.objectives[name].every
        n_tokens += share * sum(r.n * r.tokens for r in rows)
        flops += share * sum(row_flops(recipe, model, r) for r in rows)
    steps = recipe.optimizer.steps
    counts = {"backbone": backbone, "trained": trained, "learning": learning}
    dtypes = {device.name: _dtype(recipe, device) for device in DEVICES}
    by_dtype = {d: _memory(recipe, model, counts, query_tokens, d) for d in set(dtypes.values())}
    return Estimate(
        backbone=backbone,
        experts=experts,
        router=router,
        heads=heads,
        learning=learning,
        passage_tokens=passage_tokens,
        query_tokens=query_tokens,
        tokens=n_tokens,
        flops=flops,
        steps=steps,
        memory={name: by_dtype[dtype] for name, dtype in dtypes.items()},
        seconds={d.name: steps * flops / (d.flops * d.utilisation) for d in DEVICES},
    )


def _dtype(recipe: Recipe, device: Device) -> torch.dtype:
    dtype: torch.dtype = device.dtype if recipe.dtype == "auto" else getattr(torch, recipe.dtype)
    return dtype


def rows_of(recipe: Recipe, passage_tokens: int, query_tokens: int) -> dict[str, list[Rows]]:
    """The rows of one draw of each objective, with texts of those lengths.

    Args:
        recipe: the recipe.
        passage_tokens: length of a passage, cut to what the task allows.
        query_tokens: length of a query, cut likewise.
    """
    tasks = {task.name: task for task in recipe.tasks}
    found: dict[str, list[Rows]] = {}
    for name, objective in recipe.objectives.items():
        task = tasks[objective.task]
        query = min(query_tokens, task.max_tokens)
        passage = min(passage_tokens, task.max_tokens)
        pair = min(query_tokens + passage_tokens, task.max_tokens)
        terms = getattr(objective, "losses", ())
        anchored = any(term.needs_frozen for term in terms)
        n = objective.size
        if isinstance(objective, config.Contrastive | config.Ranking):
            n_documents = n * (1 + objective.negatives)
            apart = [(n, query), (n_documents, passage)]
            shapes = [(n_documents, pair)] if HEADS[task.head].joint else apart
        else:
            shapes = [(n, pair)]
        found[name] = [Rows(task.name, rows, tokens, anchored) for rows, tokens in shapes]
    return found


def row_flops(recipe: Recipe, model: UniMoER, rows: Rows) -> float:
    """Floating point operations that a training step spends on some rows."""
    tokens = rows.n * rows.tokens
    frozen, attention, trained = forward_flops(model, rows.task, rows.tokens)
    passes = 1 + recipe.gradient_checkpointing + recipe.optimizer.grad_cache
    forward = passes * (frozen + attention + trained)
    # Backward: the base needs the gradient of its input alone.
    backward = frozen + 2 * attention + 2 * trained
    anchor = (frozen + attention) if rows.anchored else 0
    return tokens * (forward + backward + anchor)


def forward_flops(model: UniMoER, task: str, tokens: int) -> tuple[float, float, float]:
    """Operations for each token of a forward: frozen layers, attention, experts and head.

    Args:
        model: a skeleton, or a model with weights.
        task: of the row, by name.
        tokens: length of the row.
    """
    settings: Any = model.backbone.config
    heads = settings.num_attention_heads
    width = heads * (getattr(settings, "head_dim", None) or model.width // heads)
    experts = model.task(task).experts
    frozen = trained = 0
    for layer in model.layers:
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                frozen += module.weight.numel()
            elif isinstance(module, RoutedLinear):
                held = [name for name in experts if name in module.lora_A]
                trained += sum(module.lora_A[n].numel() + module.lora_B[n].numel() for n in held)
    if model.task(task).head_type.by_token:
        trained += sum(p.numel() for p in model.heads[task].parameters())
    attention = model.n_layers * 2 * tokens * width
    return 2 * frozen, 2 * attention, 2 * trained


def _memory(
    recipe: Recipe, model: UniMoER, sizes: Mapping[str, int], query_tokens: int, dtype: torch.dtype
) -> Memory:
    return Memory(
        backbone=sizes["backbone"] * dtype.itemsize,
        trained=4 * sizes["trained"],
        gradients=4 * sizes["learning"],
        moments=8 * sizes["learning"],
        activations=_kept(recipe, model, query_tokens, dtype),
    )


def _kept(recipe: Recipe, model: UniMoER, query_tokens: int, dtype: torch.dtype) -> int:
    """Bytes of activations at the peak of a step, with passages as long as their tasks allow.

    Without GradCache the graphs of a whole draw wait for its losses, with it those of one batch.
    While a layer's backward runs, its gradients take at most as much as it kept.
    """
    drawn = [r for rows in rows_of(recipe, _ENDLESS, query_tokens).values() for r in rows]
    budget = recipe.optimizer.token_budget
    experts = {name for r in drawn for name in model.task(r.task).experts}

    def traced(n: int, tokens: int) -> Activations:
        return trace_activations(
            model,
            rows=n,
            tokens=tokens,
            experts=experts,
            dtype=dtype,
            fused_attention=recipe.attention == "sdpa",
        )

    longest = max(drawn, key=lambda r: r.tokens)
    batch = traced(max(1, min(budget // longest.tokens, longest.n)), longest.tokens)
    held = [batch] if recipe.optimizer.grad_cache else [traced(r.n, r.tokens) for r in drawn]
    if recipe.gradient_checkpointing:
        return sum(each.inputs for each in held) + 2 * batch.layer
    return sum(each.whole for each in held) + batch.layer


def _learns(name: str, rates: Mapping[str, float]) -> bool:
    kind, owner, *_ = name.split(".")
    keys = (f"{kind}.{owner}", owner if kind == "experts" else kind, "default")
    return next(rates[key] for key in keys if key in rates) > 0
