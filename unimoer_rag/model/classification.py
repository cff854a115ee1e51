"""The classification head of a transformers model, without the body that it is behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["classification_head", "head_layers"]


class _Given(nn.Module):
    """Stands where the body was, and gives the states that it is given as embeddings.

    Args:
        pooler: of the body, where the head reads what that gives; None where it does not.
    """

    def __init__(self, pooler: nn.Module | None) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, *args: Any, inputs_embeds: Tensor, **kwargs: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        pooled = None if self.pooler is None else self.pooler(inputs_embeds)
        return BaseModelOutputWithPooling(last_hidden_state=inputs_embeds, pooler_output=pooled)


def _bare(config: Any) -> Any:
    """The class of transformers with its head alone, on the meta device."""
    from transformers import AutoModelForSequenceClassification

    with torch.device("meta"):
        model: Any = AutoModelForSequenceClassification.from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
    body = getattr(model, model.base_model_prefix)
    setattr(model, model.base_model_prefix, _Given(getattr(body, "pooler", None)))
    return model.eval()


def head_layers(config: Any) -> Mapping[str, torch.Size]:
    """The weights that a sequence classification model has behind its body: shapes, by name."""
    return {name: weight.shape for name, weight in _bare(config).named_parameters()}


def classification_head(config: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The head as the published class computes it, from last hidden states.

    It is called with `inputs_embeds`, the states `[rows, tokens, width]`, and `attention_mask`.
    Its weights are the backbone's: buffers, which no checkpoint holds.

    Args:
        config: transformers' configuration of the sequence classification model.
        tensors: what `head_layers` names, float32.
    """
    model: nn.Module = _bare(config)
    for name in list(dict(model.named_parameters())):
        parent, _, own = name.rpartition(".")
        module = model.get_submodule(parent)
        delattr(module, own)
        module.register_buffer(own, tensors[name], persistent=False)
    return model
