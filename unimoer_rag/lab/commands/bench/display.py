"""What the benchmarks' commands share: their options, and how they show what they found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import console, errors
from unimoer_rag.cli.targets import check_target, save_json

__all__ = [
    "MIB",
    "JsonOption",
    "PassagesOption",
    "RivalOption",
    "RoundsOption",
    "chosen_rivals",
    "give",
    "new_table",
    "say_run",
]

MIB = 2**20

JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json", help="Write JSON to a file, - for standard output.", callback=check_target
    ),
]
RoundsOption = Annotated[int, typer.Option(help="Measured runs of each side, in turns; from 5.")]
PassagesOption = Annotated[int, typer.Option(help="Passages, of 8 to 250 tokens.")]
RivalOption = Annotated[
    list[str] | None,
    typer.Option("--rival", help="A setting of the rival besides its default; again for more."),
]


def chosen_rivals(chosen: list[str] | None) -> tuple[str, ...]:
    """The settings of the rival that run: all, or the default and those that were chosen."""
    from unimoer_rag.errors import InputError
    from unimoer_rag.lab.bench.rivals import SETTINGS

    for name in chosen or ():
        if name not in SETTINGS:
            raise InputError(f"unknown rival {name!r}: expected one of {', '.join(SETTINGS)}")
    return tuple(SETTINGS) if chosen is None else ("default", *(set(chosen) - {"default"}))


def say_run(side: str, round_: int) -> None:
    """Progress: which side runs now, on the error stream."""
    errors.print(f"{'warm-up' if not round_ else f'round {round_}'}: {side}")


def give(found: dict[str, Any], table: Table, json: Path | None) -> None:
    """The JSON where it was asked for, the table otherwise."""
    if json is None:
        console.print(table)
    else:
        save_json(found, json)


def new_table(title: str, *headings: str) -> Table:
    """A table of names in the first column and numbers in the others."""
    table = Table(title=title)
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if at else "left")
    return table
