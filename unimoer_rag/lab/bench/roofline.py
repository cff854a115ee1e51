"""What a machine could do: operations a second of a large product."""

from __future__ import annotations

import time

import torch

__all__ = ["measure_peak"]

# The side of both matrices: what fills the device, and no more than it needs.
_CPU_SIDE, _GPU_SIDE = 2048, 8192
_REPEATS = 10


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
