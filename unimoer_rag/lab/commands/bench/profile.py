"""Where the time goes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import CheckpointOption, quiet
from unimoer_rag.lab.commands.bench.display import JsonOption, give, new_table

__all__ = ["profile"]


def profile(
    passages: Annotated[int, typer.Option(help="Passages in the index.")] = 1000,
    depth: Annotated[int, typer.Option(help="Passages reranked.")] = 50,
    repeats: Annotated[int, typer.Option(help="Queries and documents; from 3.")] = 9,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Time the stages of a query and of a document on the CPU, and compare with the machine."""
    quiet()
    from unimoer_rag.lab.bench.profile import measure_profile

    found = measure_profile(checkpoint, passages=passages, depth=depth, repeats=repeats)
    give(found, _stages(found), json)


def _stages(found: dict[str, Any]) -> Table:
    table = new_table(f"medians of {found['repeats']}", "", "ms", "share")
    plain = found["others"]["transformers"]["encode_ms"]
    for what in ("query", "document"):
        stages = found["ours"][f"{what}_ms"]
        total = sum(stages.values())
        for name, taken in stages.items():
            table.add_row(f"{what}: {name}", f"{taken:.2f}", f"{taken / total:.0%}")
        table.add_row(f"{what}: encode, by transformers", f"{plain[what]:.2f}", "")
    for kind, share in found["operators"].items():
        table.add_row(f"a batch: {kind}", "", f"{share:.0%}")
    roofline = found["roofline"]
    table.add_row(
        f"{roofline['gflops']:.0f} of {roofline['peak_gflops']:.0f} GFLOP/s",
        "",
        f"{roofline['share']:.0%}",
    )
    return table
