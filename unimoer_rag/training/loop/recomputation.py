"""Gradient checkpointing: activations are computed a second time in place of being kept."""

from __future__ import annotations

from typing import Any

from unimoer_rag.errors import TrainingError
from unimoer_rag.model import UniMoER, checkpoint_contexts

__all__ = ["recompute_layers"]


def recompute_layers(model: UniMoER) -> None:
    """Keep only each layer's input for the backward pass (Chen et al. 2016, 1604.06174).

    Gradients are the same, memory is less, and every layer runs forward twice.

    Raises:
        TrainingError: the backbone's architecture cannot.
    """
    backbone: Any = model.backbone
    if not getattr(backbone, "supports_gradient_checkpointing", False):
        raise TrainingError(
            f"gradient_checkpointing: {type(backbone).__name__} does not support it: take it out "
            "of the recipe, and lower optimizer.token_budget or set optimizer.grad_cache"
        )
    backbone.config.use_cache = False  # nothing here generates
    # transformers 5.22 gave it a new name.
    enable = getattr(backbone, "activation_checkpointing_enable", None)
    enable = enable or backbone.gradient_checkpointing_enable
    enable({"use_reentrant": False, "context_fn": checkpoint_contexts})
    backbone.disable_input_require_grads()  # which nothing below the first expert needs
