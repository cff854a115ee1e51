"""`unimoer-rag info`: what a checkpoint is made of and how it routes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import JsonFlag, console, print_json, quiet

__all__ = ["info"]


def info(
    checkpoint: Annotated[
        str, typer.Argument(help="A shipped checkpoint, a folder, or a backbone's name.")
    ] = "unimoer-minilm",
    as_json: JsonFlag = False,
) -> None:
    """Show backbone, experts, parameters, bytes, and routing weights by task and layer."""
    quiet()
    from unimoer_rag.model.describe import describe
    from unimoer_rag.model.unimoer import UniMoER

    found = describe(UniMoER.from_pretrained(checkpoint))
    if as_json:
        print_json(found)
        return
    console.print(_summary(found))
    console.print(_routing(found))


def _summary(found: dict[str, Any]) -> Table:
    table = Table(title=found["checkpoint"], show_header=False)
    table.add_row("backbone", f"{found['backbone']} ({found['family']})")
    table.add_row("layers x width", f"{found['layers']} x {found['width']}")
    table.add_row("router, gate", f"{found['router']}, {found['gate']}")
    table.add_row("dtype, device", f"{found['dtype']}, {found['device']}")
    for part, size in found["parameters"].items():
        table.add_row(f"parameters: {part}", f"{size:,}")
    table.add_row("bytes in memory", f"{found['bytes']:,}")
    for name, expert in found["experts"].items():
        table.add_row(
            f"expert {name}", f"rank {expert['rank']}, {expert['parameters']:,} parameters"
        )
    for name, task in found["tasks"].items():
        table.add_row(
            f"task {name}",
            f"{task['head']} head, experts {', '.join(task['experts'])}, "
            f"strength {task['strength']:g}"
            + (f", feedback {task['feedback']:g}" if "feedback" in task else ""),
        )
    return table


def _routing(found: dict[str, Any]) -> Table:
    table = Table(title="mean routing weight, by task and layer")
    table.add_column("task")
    table.add_column("expert")
    for layer in range(found["layers"]):
        table.add_column(str(layer), justify="right")
    for task, experts in found["routing"].items():
        for expert, weights in experts.items():
            table.add_row(task, expert, *(f"{w:.2f}" for w in weights))
    return table
