"""A recipe's model without weights, and what of it a recipe says."""

from __future__ import annotations

import torch

from unimoer_rag.model import UniMoER, bare_backbone
from unimoer_rag.training.recipe import Recipe

__all__ = ["skeleton_of"]


def skeleton_of(recipe: Recipe) -> UniMoER:
    """The model of a recipe as it will be trained, but without a number in it.

    Raises:
        BackboneError: the backbone's configuration cannot be had.
        InputError: router, gate, targets, experts or tasks do not fit the backbone.
    """
    backbone = bare_backbone(recipe.backbone, torch.bfloat16, as_published=True)
    return UniMoER(backbone, name=recipe.backbone, spec=recipe.spec())
