"""kill -9 at random moments of writing an index: nothing lost, nothing doubled, nothing stale."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from unimoer_rag.cli import Show
from unimoer_rag.command_line import typed_command
from unimoer_rag.errors import UnimoerError
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.damage import measure_flips, measure_full_disk, measure_read_only
from unimoer_rag.lab.bench.kill_side import (
    DIMENSION,
    QUERIES,
    Step,
    answers,
    document,
    passages,
    steps,
    vectors,
)
from unimoer_rag.lab.bench.report import describe_machine
from unimoer_rag.lab.tables import Table
from unimoer_rag.retrieval import BM25Encoder, EdgeStore, Passage, Snapshot, Store

__all__ = ["BENCH", "measure_kill", "measure_kills"]

_LONGEST = 1.0  # seconds from a child's first word to its death, at most

Stored = dict[str, Passage]


@dataclass(slots=True)
class _Wrong:
    """Passages that are not as they should be, and indexes that could not be opened."""

    lost: int = 0
    doubled: int = 0
    stale: int = 0
    not_opened: list[str] = field(default_factory=list)


def measure_kill(
    *,
    kills: Annotated[int, typer.Option(help="Writers to kill, each at a random moment.")] = 100,
    flips: Annotated[int, typer.Option(help="Bits to flip in each file, one at a time.")] = 3,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the indexes are made; a temporary folder if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the changes, the moments and the places.")] = 0,
    on_progress: Show = lambda what, done, total, note="", /: None,
) -> dict[str, Any]:
    """Kill writers of an index, flip its bits, fill its disk; count what is lost.

    Writers add, update, delete, record identities, optimize, close and open, and are ended with
    SIGKILL; the index is looked at after each, and compared at the end with one that nobody
    disturbed. A full disk and a read-only folder need the right to mount, and are left out without
    it. The exit code is 1 if anything was lost, doubled, stale, or silently other.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        found: dict[str, Any] = {
            "bench": "kill",
            "seed": seed,
            "kills": measure_kills(
                place, kills=kills, seed=seed, on_kill=lambda n: on_progress("killing", n, kills)
            ),
            "flips": measure_flips(place, each=flips, seed=seed),
            "full_disk": measure_full_disk(place),
            "read_only": measure_read_only(place),
            "machine": describe_machine(),
            "command": typed_command(),
        }
    return found | {"well": _well(found)}


def measure_kills(
    folder: Path, *, kills: int, seed: int, on_kill: Callable[[int], None] = lambda n: None
) -> dict[str, Any]:
    """Kill a writer again and again in one index, and look at what is there after each time.

    A killed index is looked at in a copy, and goes on as it was left. At the end its plan is
    finished, and it is compared with an index that nobody disturbed.

    Args:
        folder: for the indexes; empty.
        kills: how many.
        seed: of the plan and of the moments.
        on_kill: called with the number of each.
    """
    random, wrong, at = Random(seed), _Wrong(), Counter[str]()
    index, first = folder / "killed", 0
    begun: set[int] = set()  # steps, by this writer or one before it
    while sum(at.values()) < kills:
        said = _killed(index, seed, first, random.uniform(0, _LONGEST))
        if said is None:  # it had not begun
            continue
        doing, number = said
        at[doing] += 1
        on_kill(sum(at.values()))
        first = max(first, number)
        [step] = islice(steps(seed), first, first + 1)
        if doing == step.kind:
            begun.add(first)
        _look_at(index, step, doing, wrong, begun=first in begun)
    last = first + 5
    for name, begin in (("killed", first), ("undisturbed", 0)):
        subprocess.run(_command(folder / name, seed, begin, last), check=True, capture_output=True)
    with EdgeStore(index) as killed, EdgeStore(folder / "undisturbed") as undisturbed:
        equal = answers(killed) == answers(undisturbed)
        n_passages = undisturbed.count()
    return {
        "kills": sum(at.values()),
        "killed_while": dict(sorted(at.items())),
        "steps": last,
        "passages": n_passages,
        "lost": wrong.lost,
        "doubled": wrong.doubled,
        "stale": wrong.stale,
        "not_opened": wrong.not_opened,
        "equal_to_undisturbed": equal,
    }


def _command(index: Path, seed: int, first: int, last: int) -> list[str]:
    settings = {"folder": str(index), "seed": seed, "first": first, "last": last}
    return [sys.executable, "-m", "unimoer_rag.lab.bench.kill_side", json.dumps(settings)]


def _killed(index: Path, seed: int, first: int, delay: float) -> tuple[str, int] | None:
    """What a writer was doing when it was killed, and the first step that it had not done."""
    command = _command(index, seed, first, first + 1000)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        begun = writer.stdout.readline()
        time.sleep(delay if begun else 0)
        writer.send_signal(signal.SIGKILL)
        lines = [begun.strip(), *writer.stdout.read().split("\n")]
    if not begun:
        raise RuntimeError(f"the writer did not begin: {' '.join(command)}")
    said = [line for line in lines if line]
    done = [int(line.split()[1]) for line in said if line.startswith("done")]
    doing = said[-1].split()[0]
    return ("between steps" if doing == "done" else doing), (done[-1] + 1 if done else first)


def _look_at(index: Path, step: Step, doing: str, wrong: _Wrong, *, begun: bool) -> None:
    """Count what is wrong in an index in which a step may have begun."""
    if not (index / "unimoer.json").is_file():
        wrong.lost += 6 * len(step.before)
        return
    snapshot = Snapshot(index, held=False)
    try:
        with EdgeStore(snapshot.files, dimension=DIMENSION) as store:
            found = {passage.id: passage for passage in store.scroll()}
            _compare(found, step, wrong, begun=begun)
            _search(found, store, wrong)
    except UnimoerError as error:
        wrong.not_opened.append(f"{doing}: {error}")
    finally:
        snapshot.close()


def _expected(step: Step, *, after: bool) -> dict[str, Stored]:
    versions = step.after if after else step.before
    return {
        source: {p.id: p for p in passages(document(source, version))}
        for source, version in versions.items()
    }


def _compare(found: Stored, step: Step, wrong: _Wrong, *, begun: bool) -> None:
    before, after = _expected(step, after=False), _expected(step, after=True)
    for source in before.keys() | after.keys():
        here = {key: p for key, p in found.items() if p.source == source}
        old, new = before.get(source, {}), after.get(source, {})
        # A document's new passages come in one write, its old ones go in another.
        allowed = [old, old | new, new] if begun else [old]
        if here in allowed:
            continue
        wrong.lost += len((old.keys() & new.keys() if begun else old.keys()) - here.keys())
        wrong.stale += sum(key in old and p != old[key] for key, p in here.items())
        wrong.doubled += len(here.keys() - old.keys() - (new.keys() if begun else set()))
    wrong.doubled += sum(p.source not in before and p.source not in after for p in found.values())


def _search(found: Stored, store: Store, wrong: _Wrong) -> None:
    some = list(found.values())[:QUERIES]
    if not some:
        return
    nearest = store.search_dense(vectors([p.text for p in some]), limit=1)
    wrong.lost += sum(hits[0].passage != p for hits, p in zip(nearest, some, strict=True))
    queries = [BM25Encoder().query(p.text) for p in some]
    for hits, passage in zip(store.search_sparse(queries, limit=300), some, strict=True):
        wrong.lost += passage not in [hit.passage for hit in hits]


def _well(found: Facts) -> bool:
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


def _table(found: Facts) -> Table:
    killed, flips = found["kills"], found["flips"]
    moments = ", ".join(f"{n} {doing}" for doing, n in killed["killed_while"].items())
    told = ", ".join(
        f"{flips.get(name, 0)} {name}" for name in ("detected", "same results", "other results")
    )

    def mounted(name: str) -> str:
        part = found[name]
        return "not measured: nothing can be mounted here" if part is None else str(part)

    return Table(
        "An index under kills and damage",
        ("", "found"),
        [
            ("kills", f"{killed['kills']} ({moments})"),
            *((f"passages {name}", str(killed[name])) for name in ("lost", "doubled", "stale")),
            ("indexes that did not open", str(len(killed["not_opened"]))),
            ("equal to an undisturbed index", "yes" if killed["equal_to_undisturbed"] else "no"),
            ("bits flipped", f"{flips['flips']} in {flips['files']} files: {told}"),
            ("a full disk", mounted("full_disk")),
            ("a read-only folder", mounted("read_only")),
        ],
    )


BENCH = Bench(
    measure_kill,
    _table,
    quick={"kills": 3, "flips": 1},
    failed=lambda found: not found["well"],
)
