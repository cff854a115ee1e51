"""The optimizer of a run: AdamW with a peak rate for each expert, and the rate's course."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import torch

from unimoer_rag.errors import TrainingError
from unimoer_rag.training.recipe import Optimizer

__all__ = ["make_optimizer", "rate_at", "rate_of"]


def make_optimizer(
    named: Mapping[str, torch.nn.Parameter], config: Optimizer
) -> torch.optim.Optimizer:
    """AdamW with a peak rate for each expert, the up-projections' scaled (LoRA+, 2402.12354).

    Parameters whose rate is 0 stay as they are and get no gradient.

    Args:
        named: trainable parameters by their names in a checkpoint.
        config: of the recipe.

    Raises:
        TrainingError: a parameter is in half precision, in which small steps are lost.
    """
    groups: dict[float, list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in named.items():
        rate = rate_of(name, config)
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            if parameter.dtype != torch.float32:
                raise TrainingError(
                    f"{name} is {parameter.dtype}, as from_pretrained holds experts: train a model "
                    "of from_backbone, from a checkpoint where the recipe's start names one"
                )
            groups[rate].append(parameter)
    return torch.optim.AdamW(
        [{"params": members, "lr": rate, "peak": rate} for rate, members in groups.items()],
        weight_decay=config.weight_decay,
    )


def rate_of(name: str, config: Optimizer) -> float:
    """A parameter's peak rate: of its expert or head, else of its kind, else the default."""
    rates = config.learning_rate
    kind, owner, *_ = name.split(".")
    if kind == "experts":
        scale = config.up_ratio if ".lora_B." in name else 1.0
        return scale * rates.get(owner, rates["default"])
    return rates.get(f"{kind}.{owner}", rates.get(kind, rates["default"]))


def rate_at(step: int, config: Optimizer) -> float:
    """Share of the peak rate at a step: linear warm-up, then a cosine down to `final`."""
    warm = config.warmup * config.steps
    if step < warm:
        return min((step + 1) / warm, 1.0)
    progress = (step - warm) / max(config.steps - warm, 1)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * progress))
