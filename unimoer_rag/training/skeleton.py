"""A recipe's model without weights, and what of it a recipe says."""

from __future__ import annotations

from typing import Any

import torch

from unimoer_rag.model import UniMoER, bare_backbone
from unimoer_rag.training.recipe import Recipe

__all__ = ["model_options", "skeleton_of"]


def model_options(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of its model beside the backbone, as `UniMoER` takes it."""
    return {
        "experts": {name: expert.spec() for name, expert in recipe.experts.items()},
        "tasks": [task.task() for task in recipe.tasks],
        "router": recipe.router,
        "router_options": recipe.router_options,
        "gate": recipe.gate,
        "targets": recipe.targets,
        "query_instruction": recipe.query_instruction,
    }


def skeleton_of(recipe: Recipe) -> UniMoER:
    """The model of a recipe as it will be trained, but without a number in it.

    Raises:
        BackboneError: the backbone's configuration cannot be had.
        InputError: router, gate, targets, experts or tasks do not fit the backbone.
    """
    backbone = bare_backbone(recipe.backbone, torch.bfloat16)
    return UniMoER(backbone, name=recipe.backbone, **model_options(recipe))
