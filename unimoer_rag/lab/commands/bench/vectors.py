"""Vectors in fewer bits, and how all grows with the index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from unimoer_rag.cli.output import CheckpointOption, errors, quiet
from unimoer_rag.lab.commands.bench.display import MIB, JsonOption, give, new_table

__all__ = ["growth", "vectors"]


def vectors(
    data: Annotated[Path, typer.Option(help="A data set in the BEIR layout.")],
    split: Annotated[
        str | None, typer.Option(help="Its questions; test, or the only split, if not given.")
    ] = None,
    passages: Annotated[
        int, typer.Option(help="Passages indexed: those that are relevant first.")
    ] = 5000,
    queries: Annotated[int, typer.Option(help="Questions asked, drawn at random.")] = 200,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Measure bytes, recall and latency of quantized and shorter vectors against float32."""
    quiet()
    from unimoer_rag.lab.bench.vectors import measure_vectors

    found = measure_vectors(
        data,
        checkpoint,
        split=split,
        passages=passages,
        queries=queries,
        on_run=lambda what: errors.print(f"{what} ..."),
    )
    give(found, _vectors_table(found), json)


def _vectors_table(found: dict[str, Any]) -> Table:
    table = new_table(
        f"{found['passages']:,} passages of {found['data']}, {found['queries']} questions",
        "",
        "MiB in memory a million",
        "MiB on disk a million",
        "recall@10",
        "recall@100",
        "nDCG@10",
        "p50 ms",
        "p95 ms",
    )
    for name, side in {**found["others"], **found["ours"]}.items():
        table.add_row(
            name,
            f"{side['memory_bytes_a_million'] / MIB:.0f}",
            f"{side['disk_bytes_a_million'] / MIB:.0f}",
            f"{side['recall@10']:.4f}",
            f"{side['recall@100']:.4f}",
            f"{side['nDCG@10']:.4f}",
            f"{side['milliseconds']['p50']:.2f}",
            f"{side['milliseconds']['p95']:.2f}",
        )
    return table


def growth(
    sizes: Annotated[
        list[int] | None,
        typer.Argument(help="Numbers of passages, rising: 10000 100000 1000000 if not given."),
    ] = None,
    dimension: Annotated[int, typer.Option(help="Length of the vectors.")] = 384,
    quantization: Annotated[
        Literal["int8", "binary"] | None, typer.Option(help="Of the index.")
    ] = None,
    queries: Annotated[int, typer.Option(help="Measured queries; from 5.")] = 50,
    folder: Annotated[
        Path | None, typer.Option(help="Where the indexes are for the while.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Index and search synthetic passages of rising sizes: time, memory, disk and latency."""
    from unimoer_rag.lab.bench.growth import measure_growth

    found = measure_growth(
        sizes or (10_000, 100_000, 1_000_000),
        dimension=dimension,
        quantization=quantization,
        queries=queries,
        folder=folder,
        on_run=lambda what: errors.print(f"{what} ..."),
    )
    give(found, _growth_table(found), json)


def _growth_table(found: dict[str, Any]) -> Table:
    from unimoer_rag.lab.bench.growth import MEASURES, STEEP

    steps = found["exponents"]
    table = new_table(
        f"growth: exponents above {STEEP} are steeper than the index",
        "",
        *(f"{size:,}" for size in found["sizes"]),
        *steps,
    )
    for name in MEASURES:
        scale, unit = (MIB, "MiB") if name.endswith("_bytes") else (1, name.rpartition("_")[2])
        table.add_row(
            f"{name.rpartition('_')[0].replace('_', ' ')}, {unit}",
            *(f"{side[name] / scale:.2f}" for side in found["ours"].values()),
            *(f"{step[name]:.2f}" if name in step else "" for step in steps.values()),
        )
    return table
