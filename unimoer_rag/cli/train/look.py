"""`unimoer-rag train ls`, `show` and `validate`: runs and recipes looked at, nothing trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import (
    JsonFlag,
    columns,
    console,
    print_found,
    print_json,
    print_note,
    print_piece,
    print_text,
    quiet,
)
from unimoer_rag.cli.train.run import RecipeArgument, SetOption, chosen_recipe

if TYPE_CHECKING:
    from unimoer_rag.cost import Estimate
    from unimoer_rag.training import Recipe

__all__ = ["duration", "ls", "show", "validate"]

_GB = 1e9


def ls(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the runs are, or one run.")
    ] = Path("runs"),
    as_json: JsonFlag = False,
) -> None:
    """List the runs under a folder and the recipes that can be named."""
    from unimoer_rag.training import find_recipe, recipe_names

    runs = _runs(folder)
    recipes = {name: find_recipe(name).description for name in recipe_names()}

    def say() -> None:
        if runs:
            console.print(_run_table(runs, folder))
        else:
            print_text(f"no runs under {folder}")
        table = columns(Table(title="recipes"), "name")
        table.add_column("what it is")
        for name, description in recipes.items():
            table.add_row(name, description)
        console.print(table)

    print_found({"runs": runs, "recipes": recipes}, say, as_json=as_json)


@with_options
def show(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE|RUN", help="A recipe's name or file, or a run.")
    ],
    settings: SetOption = None,
    passage_tokens: int = option("Mean length of a passage.", default=160, min=1),
    query_tokens: int = option("Mean length of a query.", default=24, min=1),
    as_json: JsonFlag = False,
) -> None:
    """Show a recipe with all defaults, its parameters, and what it will cost.

    Memory and time are computed from the sizes, not measured; no weights are read for it.
    """
    quiet()
    chosen = _recipe_of(recipe, settings)
    from unimoer_rag.cost import estimate

    found = estimate(chosen, passage_tokens=passage_tokens, query_tokens=query_tokens)
    if as_json:
        print_json({"recipe": chosen.model_dump(mode="json"), "estimate": found.to_dict()})
        return
    import yaml

    shown = yaml.safe_dump(chosen.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    print_piece(f"{shown}\n")
    console.print(_parameter_table(found))
    console.print(_cost_table(found))


@with_options
def validate(
    recipe: RecipeArgument,
    data: Path | None = option("Folder of its data sets, to be read too."),
    output: Path | None = option("The run's folder, for what is mined there."),
    settings: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a recipe, its backbone, its start and its data sets; nothing is trained.

    All that is wrong is told at once, with exit code 1.
    """
    quiet()
    chosen = chosen_recipe(recipe, settings)
    from unimoer_rag.training import check_recipe

    found = check_recipe(chosen, data, output=output)
    if as_json:
        print_json({"problems": found.problems, "data": found.counts, "mined": found.mined})
    else:
        for name, counts in found.counts.items():
            what = ", ".join(f"{n:,} {kind}" for kind, n in counts.items()) or "not readable"
            print_text(f"{name}: {what}")
        for name, n in found.mined.items():
            print_text(f"{name}: {n} mined already")
        for problem in found.problems:
            print_note(f"error: {problem}")
        if not found.problems:
            unread = "" if data is not None else "; give --data to check the data sets too"
            print_text(f"{chosen.name}: nothing is wrong{unread}")
    if found.problems:
        raise typer.Exit(1)


def _recipe_of(name: str, settings: list[str] | None) -> Recipe:
    """Of a run's folder, or by name or file."""
    from unimoer_rag.training import kept_recipe, overridden, recipe_names

    if Path(name).is_dir() and name not in recipe_names():
        return overridden(kept_recipe(Path(name)), settings or [])
    return chosen_recipe(name, settings)


def _runs(folder: Path) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from unimoer_rag.errors import TrainingError
    from unimoer_rag.training import summary

    found = []
    for mark in sorted({*folder.glob("recipe.json"), *folder.glob("*/recipe.json")}):
        try:
            run = asdict(summary(mark.parent))
        except TrainingError:  # of another version
            run = {"name": "", "state": "unreadable"}
        log = mark.parent / "log.jsonl"
        changed = (log if log.is_file() else mark).stat().st_mtime
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(changed))
        found.append({"run": str(mark.parent), **run, "changed": when})
    return found


def _run_table(runs: list[dict[str, Any]], folder: Path) -> Table:
    table = Table(title=f"runs under {folder}")
    for heading in ("run", "recipe", "step", "losses", "validation", "state", "changed"):
        table.add_column(heading, overflow="fold")
    for run in runs:
        step = f"{run['step']}/{run['steps']}" if "step" in run else ""
        table.add_row(
            run["run"],
            run["name"],
            step,
            _numbers(run.get("losses", {}), 3),
            _numbers(run.get("validation", {}), 4),
            run["state"],
            run["changed"],
        )
    return table


def _numbers(values: dict[str, float], digits: int) -> str:
    return "\n".join(f"{name} {value:.{digits}f}" for name, value in values.items())


def _parameter_table(found: Estimate) -> Table:
    table = columns(Table(title="parameters"), "part", "parameters")
    table.add_row("backbone, frozen", f"{found.backbone:,}")
    for name, size in found.experts.items():
        table.add_row(f"expert {name}", f"{size:,}")
    table.add_row("router", f"{found.router:,}")
    for name, size in found.heads.items():
        table.add_row(f"head {name}", f"{size:,}")
    table.add_row("of these learn", f"{found.learning:,}")
    return table


def _cost_table(found: Estimate) -> Table:
    table = Table(
        title="cost, computed and not measured",
        caption=(
            f"{found.steps:,} steps of {found.tokens:,.0f} tokens and {found.flops:.3g} operations "
            f"in mean: passages of {found.passage_tokens} tokens, queries of {found.query_tokens}. "
            "Memory is the peak, passages as long as tasks allow; CUDA itself takes about 1 GB "
            "more. Time is arithmetic at 35% of the peak: small models wait longer for the GPU."
        ),
    )
    columns(table, "device", "weights", "optimizer", "activations", "memory", "time")
    for name, memory in found.memory.items():
        table.add_row(
            name,
            f"{(memory.backbone + memory.trained) / _GB:.2f} GB",
            f"{(memory.gradients + memory.moments) / _GB:.2f} GB",
            f"{memory.activations / _GB:.2f} GB",
            f"{memory.total / _GB:.1f} GB",
            duration(found.seconds[name]),
        )
    return table


def duration(seconds: float) -> str:
    """Seconds in the unit a reader wants."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
