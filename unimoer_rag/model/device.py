"""Where a model runs and in which precision: names to torch values, "auto" to what is there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unimoer_rag.errors import InputError

__all__ = ["QUANTIZATIONS", "Precision", "choose_device", "choose_dtype", "choose_precision", "put"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

QUANTIZATIONS = ("int8", "int4")
"""Kinds of quantized weights; see `model.quantized`."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How a model holds its frozen weights, and what it computes in.

    Attributes:
        dtype: of activations, and of the weights where they are not quantized.
        quantization: one of `QUANTIZATIONS`, or None.
    """

    dtype: torch.dtype
    quantization: str | None = None

    def __str__(self) -> str:
        return self.quantization or str(self.dtype).removeprefix("torch.")


def choose_device(device: str) -> torch.device:
    """The torch device of a name, with its index; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: there is no such device here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        # An allocation is the only test that covers every backend; it also fills in the index.
        return torch.empty(0, device=torch.device(device)).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {device!r} cannot be used here ({error}): expected 'auto', 'cpu', 'cuda', "
            "'cuda:<n>' or 'mps'"
        ) from error


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The torch dtype of a name; "auto" takes bfloat16 where the hardware multiplies in it.

    Raises:
        InputError: the name is none of "auto", "float32", "bfloat16", "float16".
    """
    if dtype == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    if dtype not in _DTYPES:
        choices = ", ".join(map(repr, _DTYPES))
        raise InputError(f"unknown dtype {dtype!r}: expected 'auto', {choices}")
    return _DTYPES[dtype]


def choose_precision(name: str, device: torch.device) -> Precision:
    """The precision of a name: that of a dtype, or quantized weights under the dtype of "auto".

    Raises:
        InputError: the name is no dtype (`choose_dtype`) and no quantization.
    """
    if name not in QUANTIZATIONS:
        if name != "auto" and name not in _DTYPES:
            choices = ", ".join(map(repr, (*_DTYPES, *QUANTIZATIONS)))
            raise InputError(f"unknown dtype {name!r}: expected 'auto', {choices}")
        return Precision(choose_dtype(name, device))
    return Precision(choose_dtype("auto", device), name)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("bf16"):  # ARM
        return True
    # ATEN_CPU_CAPABILITY may hold torch back from instructions that the processor has.
    used = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return used and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def put(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU's tensor on a device, without waiting on CUDA for the work that is queued there."""
    if device.type == "cuda":
        # Only pinned memory is copied so; torch keeps it until the copy is done.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
