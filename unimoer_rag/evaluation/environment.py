"""What a measurement ran on: memory and versions."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from unimoer_rag.model.unimoer import UniMoER

__all__ = ["memory_mb", "versions"]


def memory_mb(model: UniMoER) -> dict[str, float]:
    """Megabytes (10^6 bytes): the model's tensors, and the process at its peak."""
    tensors = sum(p.numel() * p.element_size() for p in model.parameters())
    memory = {"model": round(tensors / 1e6, 1)}
    if sys.platform != "win32":
        # Here, since it asks the system in a way that Windows does not know.
        from unimoer_rag.benchmarks.memory import peak

        memory["peak"] = round(peak() / 1e6, 1)
    return memory


def versions(model: UniMoER) -> dict[str, str]:
    """Of the library and what its numbers depend on, with the model's type and device."""
    names = ("unimoer-rag", "torch", "transformers", "tokenizers", "qdrant-edge-py", "ir-measures")
    installed = {}
    for name in names:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # ir-measures is optional
            continue
    return {
        "python": platform.python_version(),
        **installed,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
    }
