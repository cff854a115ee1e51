"""How the work grows with the index: time, memory, disk and latency at several sizes."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.process import run_module
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.timing import OnRun, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.retrieval import Quantization, check_quantization

__all__ = ["BENCH", "MEASURES", "STEEP", "measure_growth"]

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
    sizes: Annotated[
        list[int] | None,
        typer.Argument(help="Numbers of passages, rising: 10000 100000 1000000 if not given."),
    ] = None,
    *,
    dimension: Annotated[int, typer.Option(help="Length of the vectors.")] = 384,
    quantization: Annotated[Quantization | None, typer.Option(help="Of the index.")] = None,
    queries: Annotated[int, typer.Option(help="Measured queries; from 5.")] = 50,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the indexes are for the while; 10 GB for a million passages."),
    ] = None,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Index and search synthetic passages of rising sizes: time, memory, disk and latency.

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
    sizes = sizes or [10_000, 100_000, 1_000_000]
    if len(sizes) < 2 or min(sizes) < 1 or sizes != sorted(set(sizes)):
        raise InputError(f"sizes are {sizes}: expected two or more, rising, from 1")
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
        sizes=sizes,
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


def _table(found: Facts) -> Table:
    columns: dict[str, tuple[str, float, int]] = {  # measure, its unit, digits
        "storing, s": ("store_seconds", 1, 1),
        "graph, s": ("optimize_seconds", 1, 1),
        "1,000 more, s": ("add_seconds", 1, 2),
        "memory of indexing, MB": ("index_memory_bytes", 1e6, 0),
        "with mapped files, MB": ("index_resident_bytes", 1e6, 0),
        "disk, MB": ("disk_bytes", 1e6, 0),
        "opening, s": ("open_seconds", 1, 2),
        "memory of searching, MB": ("search_memory_bytes", 1e6, 0),
        "dense p50, ms": ("dense_p50_milliseconds", 1, 1),
        "hybrid p50, ms": ("hybrid_p50_milliseconds", 1, 1),
    }
    rows = [
        (
            f"{int(n):,}",
            *(f"{side[name] / unit:.{digits}f}" for name, unit, digits in columns.values()),
        )
        for n, side in found["ours"].items()
    ]
    rows += [
        (
            f"exponent, {step}",
            *(f"{of[name]:.2f}" if name in of else "" for name, _, _ in columns.values()),
        )
        for step, of in found["exponents"].items()
    ]
    return Table(
        f"Growth; exponents above {STEEP} are steeper than the index", ("passages", *columns), rows
    )


BENCH = Bench(
    measure_growth, _table, quick={"sizes": [500, 1000, 2000], "dimension": 64, "queries": 5}
)
