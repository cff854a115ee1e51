"""Attention for encoders on CPUs in bfloat16: two matrix products with an exponential between.

Torch's fused kernel for CPUs takes a quarter of an encoder's time at the lengths of passages, most
of it outside of the products. Here the values get a column of ones, so that one product gives the
weighted sum and the sum of the weights that it is divided by; a padded key has zeros for values and
counts for nothing. What does not fit goes to "sdpa", transformers' own.

Where gradients are wanted, the products stand around torch's own softmax: the backward of the fused
kernel takes half of a training step.

The softmax's usual shift by the largest score is left out. Where a score was so large that bfloat16
does not hold its exponential, or all of a query's were so small, the sums show it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["CPU_ATTENTION"]

CPU_ATTENTION = "unimoer_cpu"
"""Name of the implementation, as `attn_implementation` of a transformers model."""

# The longest row of a reader. Above, the scores would leave the cache.
_MAX_TOKENS = 512
# The exponentials that bfloat16 holds end at 88 and begin at -87; a sum of them weighs values too.
_LEAST, _MOST = math.exp(-80), math.exp(80)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Softmax attention by transformers' interface.

    Args:
        module: the attention layer; what is causal is left to "sdpa".
        query: `[rows, heads, tokens, size]`.
        key: the same shape; with fewer heads (grouped queries) it is left to "sdpa".
        value: the key's shape.
        attention_mask: bool `[rows, 1, tokens, tokens]`, or None where no key is padded.
        scaling: of the scores, by default `size ** -0.5`.
        dropout: above 0 it is left to "sdpa".
        kwargs: for "sdpa".

    Returns:
        `[rows, tokens, heads, size]`, and no weights.
    """
    if _fits(module, query, key, attention_mask, dropout, kwargs):
        scaled = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        mix = _learnable if torch.is_grad_enabled() else _mix
        mixed = mix(scaled, key, value, attention_mask)
        if mixed is not None:
            return mixed, None
    answer: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )
    return answer


def _mix(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor | None:
    """The weighted values; None where the scores were too large or too small for it."""
    rows, heads, tokens, size = value.shape
    counted = value.new_ones(rows, heads, tokens, size + 1)
    counted[..., :size] = value
    if mask is not None:
        counted *= mask[:, :, 0, :, None]
    mixed = torch.matmul(torch.matmul(query, key.transpose(-1, -2)).exp_(), counted)
    sums = mixed[..., size:]
    least, most = torch.aminmax(sums)
    if not (float(least) >= _LEAST and float(most) <= _MOST):  # a NaN is neither
        return None
    return (mixed[..., :size] / sums).transpose(1, 2)


def _learnable(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """The weighted values, with a cheap way back."""
    scores = torch.matmul(query, key.transpose(-1, -2))
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.matmul(scores.softmax(-1), value).transpose(1, 2)


def _fits(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    dropout: float,
    kwargs: dict[str, Any],
) -> bool:
    return (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and not dropout
        and not getattr(module, "is_causal", True)
        and query.shape == key.shape
        and key.shape[2] <= _MAX_TOKENS
        and not any(kwargs.get(name) for name in ("is_causal", "softcap", "sliding_window"))
        and kwargs.get("position_bias") is None
        and _pads_only(mask)
    )


def _pads_only(mask: Tensor | None) -> bool:
    """Whether a mask says the same to every query, as `make_mask` marks it."""
    return mask is None or mask.stride(2) == 0


def make_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """The mask of "sdpa", as a view of one query's where it says the same to all of them."""
    mask: Tensor | None = sdpa_mask(*args, **kwargs)
    if mask is None or not bool((mask == mask[:, :, :1]).all()):
        return mask
    return mask[:, :, :1].expand_as(mask)


AttentionInterface.register(CPU_ATTENTION, attend)
AttentionMaskInterface.register(CPU_ATTENTION, make_mask)
