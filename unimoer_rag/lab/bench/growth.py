"""How the work grows with the index: time, memory, disk and latency at several sizes."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.process import run_module
from unimoer_rag.lab.bench.report import report
from unimoer_rag.retrieval import Quantization, check_quantization

__all__ = ["MEASURES", "STEEP", "measure_growth"]

MEASURES = (
    "store_seconds",
    "optimize_seconds",
    "add_seconds",
    "index_memory_bytes",
    "disk_bytes",
    "open_seconds",
    "search_memory_bytes",
    "dense_p50_milliseconds",
    "hybrid_p50_milliseconds",
)
"""What is compared between sizes."""

STEEP = 1.1
"""The exponent from which something grows faster than the index; 1 is in proportion."""

_SIDE = "unimoer_rag.lab.bench.growth_side"


def measure_growth(
    sizes: Sequence[int],
    *,
    dimension: int = 384,
    quantization: Quantization | None = None,
    queries: int = 50,
    folder: Path | None = None,
    on_run: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Index and search synthetic passages of each size, in fresh processes.

    Args:
        sizes: numbers of passages, two or more, rising.
        dimension: length of the vectors.
        quantization: of the index.
        queries: measured ones, each dense and hybrid, 50 passages asked for.
        folder: where the indexes are for the while; 10 GB for a million passages. None takes
            the system's folder for temporary files.
        on_run: called with what begins.

    Returns:
        See `report`. `ours` holds the measures of each size; `exponents`, for each two sizes that
        follow each other, log(ratio of a measure) / log(ratio of the sizes): 1 grows in
        proportion, 0 not at all. `optimize` builds a graph from 50,000 passages on: its time is
        compared where both sizes have one, that of dense searches where both or neither have.
        `faster_than_input` names what is above 1.1; `ratio` is the largest exponent of all. Memory
        is a process's own; what it has in memory with the files that are mapped there is told
        beside it (`resident_bytes`).

    Raises:
        InputError: there are fewer than two sizes, or they do not rise.
        UnimoerError: a process failed; its last words are in the message.
    """
    if len(sizes) < 2 or min(sizes) < 1 or list(sizes) != sorted(set(sizes)):
        raise InputError(f"sizes are {list(sizes)}: expected two or more, rising, from 1")
    if queries < 5:
        raise InputError(f"queries is {queries}: expected 5 or more")
    check_quantization(quantization)
    ours = {}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for size in sizes:
            index = Path(scratch) / "index"
            settings = {
                "folder": str(index),
                "passages": size,
                "dimension": dimension,
                "quantization": quantization,
                "queries": queries,
            }
            on_run(f"indexing {size:,} passages")
            found = _run("index", settings)
            on_run(f"searching {size:,} passages")
            found |= _run("search", settings)
            shutil.rmtree(index)
            ours[str(size)] = found
    exponents = {
        f"{small} to {large}": _exponents(ours[str(small)], ours[str(large)], large / small)
        for small, large in pairwise(sizes)
    }
    return report(
        "growth",
        ratio=max(max(step.values()) for step in exponents.values()),
        sizes=list(sizes),
        dimension=dimension,
        quantization=quantization,
        queries=queries,
        exponents=exponents,
        faster_than_input=sorted(
            {name for step in exponents.values() for name, e in step.items() if e > STEEP}
        ),
        ours=ours,
        others={},
    )


def _run(part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What a process measures, and the memory that it takes: its own, and with mapped files."""
    found = run_module(_SIDE, part, settings)
    before, highest = found.pop("own_bytes_before"), found.pop("own_peak_bytes")
    found[f"{part}_memory_bytes"] = max(highest - before, 1)
    found[f"{part}_resident_bytes"] = found.pop("resident_bytes")
    return found


def _exponents(
    small: Mapping[str, Any], large: Mapping[str, Any], ratio: float
) -> dict[str, float]:
    """The exponents of what both sizes did alike: only large indexes get a graph."""
    unlike = set()
    if not small["graph"]:
        unlike.add("optimize_seconds")
    if small["graph"] != large["graph"]:
        unlike.add("dense_p50_milliseconds")
    return {
        name: round(math.log(large[name] / small[name]) / math.log(ratio), 3)
        for name in MEASURES
        if name not in unlike
    }
