"""What a measurement ran on: memory and versions."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata

import torch

__all__ = ["distinct_bytes", "memory_mb", "versions"]

_PACKAGES = ("unimoer-rag", "torch", "transformers", "tokenizers", "qdrant-edge-py", "ir-measures")


def memory_mb(modules: Sequence[torch.nn.Module]) -> dict[str, float]:
    """Megabytes (10^6 bytes): the tensors of what is loaded, and the process at its peak.

    On a CUDA device `gpu_peak` too: the most that torch had allocated there at once.
    """
    held = distinct_bytes(p for module in modules for p in module.parameters())
    memory = {"model": round(held / 1e6, 1)}
    if sys.platform != "win32":
        # Here, since it asks the system in a way that Windows does not know.
        from unimoer_rag.peak_memory import peak

        memory["peak"] = round(peak() / 1e6, 1)
    devices = {p.device for module in modules for p in module.parameters()}
    on_gpu = sum(torch.cuda.max_memory_allocated(d) for d in devices if d.type == "cuda")
    if on_gpu:
        memory["gpu_peak"] = round(on_gpu / 1e6, 1)
    return memory


def distinct_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the memory that tensors lie in; what several share counts once."""
    known: dict[int, int] = {}
    for tensor in tensors:
        if tensor.is_mkldnn:  # torch cannot say where it lies: it is nobody else's
            known[id(tensor)] = tensor.nbytes
        else:
            storage = tensor.untyped_storage()
            known[storage.data_ptr()] = storage.nbytes()
    return sum(known.values())


def versions(modules: Sequence[torch.nn.Module], *, others: Sequence[str] = ()) -> dict[str, str]:
    """Of the library and what its numbers depend on, with the first model's type and device.

    Args:
        modules: what is loaded.
        others: distributions that were used beside the usual ones.
    """
    installed = {}
    for name in (*_PACKAGES, *others):
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # ir-measures is optional
            continue
    found = {"python": platform.python_version(), **installed}
    first = next((p for module in modules for p in module.parameters()), None)
    if first is not None:
        found["dtype"] = str(first.dtype).removeprefix("torch.")
        found["device"] = str(first.device)
    return found
