"""An index under kills, flipped bits, a full disk and a read-only folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import counting, progress_bar, quiet
from unimoer_rag.lab.commands.bench.display import JsonOption, give

__all__ = ["kill"]


def kill(
    kills: Annotated[int, typer.Option(help="Writers to kill, each at a random moment.")] = 100,
    flips: Annotated[int, typer.Option(help="Bits to flip in each file, one at a time.")] = 3,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the indexes are made; a temporary folder if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the changes, the moments and the places.")] = 0,
    json: JsonOption = None,
) -> None:
    """Kill writers of an index, flip its bits, fill its disk; count what is lost.

    Writers add, update, delete, record identities, optimize, close and open, and are ended with
    SIGKILL; the index is looked at after each, and compared at the end with one that nobody
    disturbed. A full disk and a read-only folder need the right to mount, and are left out without
    it. The exit code is 1 if anything was lost, doubled, stale, or silently other.
    """
    quiet()
    from unimoer_rag.command_line import typed_command
    from unimoer_rag.lab.bench.damage import (
        measure_flips,
        measure_full_disk,
        measure_read_only,
    )
    from unimoer_rag.lab.bench.kill import measure_kills
    from unimoer_rag.lab.bench.report import describe_machine

    with tempfile.TemporaryDirectory(dir=folder) as name, progress_bar() as bar:
        show, place = counting(bar), Path(name)
        found: dict[str, Any] = {
            "bench": "kill",
            "seed": seed,
            "kills": measure_kills(
                place, kills=kills, seed=seed, on_kill=lambda n: show("killing", n, kills)
            ),
            "flips": measure_flips(place, each=flips, seed=seed),
            "full_disk": measure_full_disk(place),
            "read_only": measure_read_only(place),
            "machine": describe_machine(),
            "command": typed_command(),
        }
    found["well"] = _well(found)
    give(found, _table(found), json)
    if not found["well"]:
        raise typer.Exit(1)


def _well(found: dict[str, Any]) -> bool:
    killed, disk, folder = (found[name] for name in ("kills", "full_disk", "read_only"))
    return bool(
        killed["equal_to_undisturbed"]
        and not any(killed[name] for name in ("lost", "doubled", "stale", "not_opened"))
        and not found["flips"]["silent"]
        and all(
            part is None or (part["searched_the_same"] and part["went_on"])
            for part in (disk, folder)
        )
        and (disk is None or (disk["adding"] and disk["deleted"]))
        and (folder is None or folder["deleting"])
    )


def _table(found: dict[str, Any]) -> Table:
    killed, flips = found["kills"], found["flips"]
    table = Table(title="An index under kills and damage", show_header=False)
    moments = ", ".join(f"{n} {doing}" for doing, n in killed["killed_while"].items())
    table.add_row("kills", f"{killed['kills']} ({moments})")
    for name in ("lost", "doubled", "stale"):
        table.add_row(f"passages {name}", str(killed[name]))
    table.add_row("indexes that did not open", str(len(killed["not_opened"])))
    table.add_row(
        "equal to an undisturbed index", "yes" if killed["equal_to_undisturbed"] else "no"
    )
    outcomes = ("detected", "same results", "other results")
    told = ", ".join(f"{flips.get(name, 0)} {name}" for name in outcomes)
    table.add_row("bits flipped", f"{flips['flips']} in {flips['files']} files: {told}")
    for name, what in (("full_disk", "a full disk"), ("read_only", "a read-only folder")):
        part = found[name]
        shown = "not measured: nothing can be mounted here" if part is None else str(part)
        table.add_row(what, shown)
    return table
