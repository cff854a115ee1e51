"""`unimoer-rag info`: what a checkpoint is made of and how it routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import JsonFlag, columns, console, print_json, quiet, say_plan
from unimoer_rag.cli.retrieval_options import DtypeOption, MemoryBudgetOption
from unimoer_rag.cli.settings import Setting, settings_in_force

if TYPE_CHECKING:
    from unimoer_rag.model import MemoryPlan

__all__ = ["info"]


def info(
    context: typer.Context,
    checkpoint: Annotated[
        str, typer.Argument(help="A shipped checkpoint, a folder, or a backbone's name.")
    ] = "unimoer-minilm",
    dtype: DtypeOption = "auto",
    memory_budget: MemoryBudgetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show backbone, experts, parameters, bytes, and routing weights by task and layer.

    Also the settings that the environment and `unimoer.toml` make, and with a memory budget what
    the model would take with each dtype, and which one was chosen.
    """
    quiet()
    from unimoer_rag.model import UniMoER, memory_table, warn_if_untrained
    from unimoer_rag.model.describe import describe

    model = UniMoER.from_pretrained(checkpoint, dtype=dtype, memory_budget=memory_budget)
    if model.checkpoint_folder is None:  # of a checkpoint it is said already
        warn_if_untrained(model, checkpoint)
    found = describe(model)
    settings = settings_in_force(context.find_root().obj)
    plans = memory_table(checkpoint) if memory_budget is not None else []
    if plans:
        say_plan(model.memory_plan)
        found["memory"] = [{**asdict(plan), "total": plan.total} for plan in plans]
    if as_json:
        found["settings"] = {name: asdict(setting) for name, setting in settings.items()}
        print_json(found)
        return
    console.print(_summary(found))
    console.print(_routing(found))
    if plans:
        console.print(_memory(plans))
    if settings:
        console.print(_settings(settings))


def _settings(settings: Mapping[str, Setting]) -> Table:
    table = Table(title="settings that need not be typed")
    for heading in ("option", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, setting in settings.items():
        table.add_row(name, setting.value, setting.source)
    return table


def _summary(found: dict[str, Any]) -> Table:
    table = Table(title=found["checkpoint"], show_header=False)
    table.add_row("backbone", f"{found['backbone']} ({found['family']})")
    table.add_row("layers x width", f"{found['layers']} x {found['width']}")
    if found["published"]:
        chain = (" + ".join(found["published"]["pooling"]), *found["published"]["steps"])
        table.add_row("pooling", ", then ".join(chain))
    for side in ("query", "document"):
        if found[f"{side}_instruction"]:
            table.add_row(f"before a {side}", repr(found[f"{side}_instruction"]))
    table.add_row("router, gate", f"{found['router']}, {found['gate']}")
    table.add_row("dtype, device", f"{found['dtype']}, {found['device']}")
    if found["quantization"]:
        table.add_row("frozen weights", found["quantization"])
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
    table = Table("task", "expert", title="mean routing weight, by task and layer")
    for layer in range(found["layers"]):
        table.add_column(str(layer), justify="right")
    for task, experts in found["routing"].items():
        for expert, weights in experts.items():
            table.add_row(task, expert, *(f"{w:.2f}" for w in weights))
    return table


def _memory(plans: list[MemoryPlan]) -> Table:
    table = Table(title="MB that each setting takes")
    parts = ("weights", "experts", "activations", "cache", "libraries", "total", "loading")
    columns(table, "dtype", *parts)
    for plan in plans:
        table.add_row(plan.dtype, *(f"{getattr(plan, part) / 1e6:,.0f}" for part in parts))
    return table
