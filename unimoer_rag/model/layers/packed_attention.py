"""Attention over packed rows: each row attends within itself.

Torch's kernels for rows of various lengths (`torch.nn.attention.varlen`, FlashAttention) run it on
CUDA in half precision. Anywhere else it is one call of "sdpa" a row: exact, and fast for few long
rows. Forwards whose rows are padded go to "sdpa", transformers' own.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from unimoer_rag.model.layers.packing import Packing, current_packing
from unimoer_rag.model.tasks import Task

if TYPE_CHECKING:
    from unimoer_rag.model.core import RoutedModel

__all__ = ["PACKED_ATTENTION", "has_kernels", "runs_packed"]

PACKED_ATTENTION = "unimoer_packed"
"""Name of the implementation, as `attn_implementation` of a transformers model."""

_HALVES = (torch.bfloat16, torch.float16)
# The largest head that FlashAttention takes.
_MOST = 256
# Other arguments of transformers that would change the result.
_UNKNOWN = ("position_bias", "softcap", "s_aux")
# Of the largest number in a state: how far two ways of adding up may be apart.
_FULL_TOLERANCE, _HALF_TOLERANCE = 1e-3, 5e-2
_CHECKED = ("word", "a few more words than that", "and a third text, the longest of them " * 4)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Softmax attention by transformers' interface.

    Args:
        module: the attention layer, which says whether it is causal.
        query: `[rows, heads, tokens, size]`; `[1, heads, all tokens, size]` where rows are packed.
        key: the same shape, perhaps with fewer heads (grouped queries).
        value: the key's shape.
        attention_mask: of padded rows; None where they are packed.
        kwargs: `scaling`, `dropout`, `sliding_window` and what else transformers gives.

    Returns:
        `[rows, tokens, heads, size]`, and no weights.

    Raises:
        ValueError: rows are packed, and an argument has no meaning here.
    """
    packing = current_packing()
    if packing is None:
        answer: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return answer
    unknown = [name for name in _UNKNOWN if kwargs.get(name) is not None]
    if unknown or kwargs.get("dropout"):
        raise ValueError(f"packed attention knows no {', '.join(unknown) or 'dropout'}")
    causal = kwargs.get("is_causal")
    causal = bool(module.is_causal) if causal is None else causal
    scaling, window = kwargs.get("scaling"), kwargs.get("sliding_window")
    if has_kernels(query.device, query.dtype) and query.shape[-1] <= _MOST:
        return _by_kernel(query, key, value, packing, causal, scaling, window), None
    return _row_by_row(module, query, key, value, packing, causal, scaling, window), None


def _by_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    causal: bool,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    before = -1 if window is None else window - 1
    mixed: Any = varlen_attn(
        query.squeeze(0).transpose(0, 1).contiguous(),
        key.squeeze(0).transpose(0, 1).contiguous(),
        value.squeeze(0).transpose(0, 1).contiguous(),
        packing.bounds,
        packing.bounds,
        packing.longest,
        packing.longest,
        scale=scaling,
        window_size=(before, 0 if causal else before),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    whole: Tensor = mixed.unsqueeze(0)
    return whole


def _row_by_row(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    causal: bool,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    lengths = list(packing.lengths)
    parts = [torch.split(states, lengths, dim=2) for states in (query, key, value)]
    return torch.cat(
        [
            sdpa_attention_forward(
                module,
                *row,
                _window_mask(row[0], causal, window),
                scaling=scaling,
                is_causal=causal,
            )[0]
            for row in zip(*parts, strict=True)
        ],
        dim=1,
    )


def _window_mask(query: Tensor, causal: bool, window: int | None) -> Tensor | None:
    """Which keys a token of a row sees, bool `[tokens, tokens]`; None where no window hides one."""
    tokens = query.shape[2]
    if window is None or tokens <= window:
        return None
    at = torch.arange(tokens, device=query.device)
    distance = at.unsqueeze(1) - at
    seen = distance.abs() < window
    return seen & (distance >= 0) if causal else seen


def make_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """The mask of "sdpa"; none where rows are packed, which their bounds keep apart."""
    if current_packing() is not None:
        return None
    mask: Tensor | None = sdpa_mask(*args, **kwargs)
    return mask


def has_kernels(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has kernels for rows of various lengths there."""
    return (
        device.type == "cuda"
        and dtype in _HALVES
        and importlib.util.find_spec("torch.nn.attention.varlen") is not None
    )


@torch.inference_mode()
def runs_packed(model: RoutedModel) -> bool:
    """Whether a backbone gives for packed rows what it gives for padded ones, tried on three texts.

    Architectures differ in what they do with positions and masks; this asks the one at hand.

    Args:
        model: whose attention is this one.
    """
    from unimoer_rag.model.forward import encode

    batch = model.collate(model.rows.single(_CHECKED, Task("check", "vector", ())))
    try:
        by_packing, by_padding = (
            encode(model, batch, unpadded=unpadded).hidden[batch.mask] for unpadded in (True, False)
        )
    except Exception:  # noqa: BLE001 - whatever an unknown architecture does, it does not pack
        return False
    tolerance = _HALF_TOLERANCE if by_padding.dtype in _HALVES else _FULL_TOLERANCE
    furthest = (by_packing - by_padding).abs().amax()
    return bool(furthest <= tolerance * by_padding.abs().amax())


AttentionInterface.register(PACKED_ATTENTION, attend)
AttentionMaskInterface.register(PACKED_ATTENTION, make_mask)
