"""What a model is made of and how it routes, as JSON-ready values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.layers.quantized import count_bytes, count_weights
from unimoer_rag.model.published import Published
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import Task

__all__ = ["describe", "describe_experts", "probe_rows", "routing_weights"]

# Texts to look at the routing with: short questions, and passages of other subjects.
_QUERIES = ("how long do refunds take?", "who wrote the first dictionary?", "symptoms of asthma")
_PASSAGES = (
    "Refunds are paid within fourteen days of the returned item reaching the warehouse.",
    "Samuel Johnson published A Dictionary of the English Language in London in 1755.",
    "Asthma makes the airways swell; wheezing and a tight chest are its common symptoms.",
)


def describe(model: RoutedModel) -> dict[str, Any]:
    """Backbone, experts, parameters, bytes, and mean routing weights by task, expert and layer."""
    experts = describe_experts(model)
    n_experts = sum(expert["parameters"] for expert in experts.values())
    n_router = sum(p.numel() for p in model.router.parameters())
    n_heads = sum(p.numel() for p in model.heads.parameters())
    return {
        "checkpoint": model.checkpoint,
        "checkpoint_digest": model.checkpoint_digest,
        "backbone": model.backbone_name,
        "family": "decoder" if model.causal else "encoder",
        "layers": model.n_layers,
        "width": model.width,
        "dimension": model.dimension,
        "published": _published(model.published),
        "query_instruction": model.query_instruction,
        "document_instruction": model.document_instruction,
        "router": model.spec.router,
        "gate": model.spec.gate,
        "dtype": str(model.dtype).removeprefix("torch."),
        "quantization": model.quantization,
        "device": str(model.device),
        "parameters": {
            "backbone": count_weights(model.backbone) - n_experts,
            "experts": n_experts,
            "router": n_router,
            "heads": n_heads,
        },
        "bytes": count_bytes(model),
        "experts": experts,
        "tasks": {
            name: {
                "head": task.head,
                "experts": list(task.experts),
                "strength": task.strength,
                **_settings(task),
            }
            for name, task in model.tasks.items()
        },
        "routing": {
            name: routing_weights(model, probe_rows(model, task))
            for name, task in model.tasks.items()
        },
    }


def _published(published: Published | None) -> dict[str, list[str]] | None:
    """How a backbone embeds that says so itself."""
    if published is None:
        return None
    steps = [type(step).__name__ for step in published.steps]
    return {"pooling": list(published.pooling), "steps": steps}


def _settings(task: Task) -> dict[str, Any]:
    """What its head is set to."""
    values = {name: getattr(task, name) for name in task.head_type.settings}
    return {n: list(value) if isinstance(value, tuple) else value for n, value in values.items()}


def describe_experts(model: RoutedModel) -> dict[str, Any]:
    """Each expert's size, parameters, place, and the tasks that name it."""
    layers = model.routed_layers().values()
    return {
        name: {
            "rank": spec.rank,
            "alpha": spec.alpha,
            "parameters": sum(
                layer.lora_A[name].numel() + layer.lora_B[name].numel()
                for layer in layers
                if name in layer.lora_A
            ),
            "targets": list(spec.targets),
            "layers": list(spec.layers),
            "tasks": [task.name for task in model.tasks.values() if name in task.experts],
        }
        for name, spec in model.experts.items()
    }


def probe_rows(model: RoutedModel, task: Task) -> list[Row]:
    """A few rows of a task, to look at what the model makes of them."""
    if task.joint:
        return model.rows.pairs(list(zip(_QUERIES, _PASSAGES, strict=True)), task)
    return [
        *model.rows.single(_QUERIES, task, "query"),
        *model.rows.single(_PASSAGES, task, "document"),
    ]


@torch.inference_mode()
def routing_weights(model: RoutedModel, rows: Sequence[Row]) -> dict[str, list[float]]:
    """Mean weight of each expert the rows may use, one number a layer; empty where none is on."""
    states = model(model.collate(rows))
    allowed = {expert for row in rows for expert in row.task.experts}
    return {
        expert: [round(float(w[..., at].mean()), 4) for w in states.weights]
        for at, expert in enumerate(states.experts)
        if expert in allowed
    }
