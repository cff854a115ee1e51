"""What a machine could do: operations that rows need, and those a second of a large product."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch

from unimoer_rag.model import UniMoER

__all__ = ["count_operations", "measure_peak"]

# The side of both matrices: what fills the device, and no more than it needs.
_CPU_SIDE, _GPU_SIDE = 2048, 8192
_REPEATS = 10


def count_operations(model: UniMoER, lengths: Iterable[int]) -> float:
    """Floating-point operations of rows' matrix products, the experts' left out.

    Args:
        model: the model.
        lengths: tokens of each row; padding counts for nothing, nor does on a decoder what a token
            does not see.
    """
    config: Any = model.backbone.config
    linears = model.routed_layers().values()
    weights: int = sum(layer.base.in_features * layer.base.out_features for layer in linears)
    heads: int = config.num_attention_heads
    mixed: int = heads * (getattr(config, "head_dim", None) or model.width // heads)
    # Scores and mixture: two products of each token with every token that it sees, in every layer.
    return sum(
        2 * n * weights + 4 * _seen(n, causal=model.causal) * mixed * model.n_layers
        for n in lengths
    )


def _seen(n: int, *, causal: bool) -> int:
    """Pairs of a token and one that it sees, in a row of so many."""
    return n * (n + 1) // 2 if causal else n * n


@torch.inference_mode()
def measure_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large product of two matrices, on the whole device."""
    side = _CPU_SIDE if device.type == "cpu" else _GPU_SIDE
    square = torch.randn(side, side, device=device).to(dtype)
    times = []
    for _ in range(_REPEATS):
        _finish(device)
        started = time.perf_counter()
        torch.mm(square, square)
        _finish(device)
        times.append(time.perf_counter() - started)
    return 2 * side**3 / min(times)


def _finish(device: torch.device) -> None:
    """Wait for what is queued on an accelerator."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
