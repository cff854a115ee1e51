"""What every benchmark reports: the measurement, the machine and the command."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.command_line import typed_command

__all__ = ["describe_machine", "report"]

# What takes part beside the usual packages.
_RIVALS = (
    "sentence-transformers",
    "onnxruntime",
    "openvino",
    "qdrant-client",
    "llama-index-core",
    "langchain-core",
)


def report(
    bench: str,
    *,
    ours: Mapping[str, Any],
    others: Mapping[str, Any],
    ratio: float,
    **more: Any,
) -> dict[str, Any]:
    """One benchmark's JSON.

    Args:
        bench: its name on the command line.
        ours: what our side took.
        others: what the others took, by name.
        ratio: against the default of the first-named rival. Times: theirs over ours, above 1 is
            faster. Memory: ours over theirs.
        more: settings and further ratios.
    """
    return {
        "bench": bench,
        "ratio": ratio,
        **more,
        "ours": dict(ours),
        "others": dict(others),
        "machine": describe_machine(),
        "command": typed_command(),
    }


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, accelerator and the versions of what takes part."""
    import torch

    from unimoer_rag.evaluation import versions

    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": sorted(name for name, has in _capabilities().items() if has is True),
        "memory_gib": _memory_gib(),
        "system": platform.system(),
        "versions": versions([], others=_RIVALS),
    }
    if torch.cuda.is_available():
        found["accelerator"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _capabilities() -> Mapping[str, Any]:
    import torch

    known: Mapping[str, Any] = (
        torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    )
    return known


def _memory_gib() -> float:
    if not hasattr(os, "sysconf"):
        return 0.0
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
