#!/usr/bin/env python3
"""Measure several systems on one data set and print them side by side.

python scripts/compare_systems.py --data DIR/nq
python scripts/compare_systems.py --data DIR/nq bm25 unimoer \
    "two-models --reranker DIR/cross-encoder" "unimoer --mode hybrid"

A system is a name that `unimoer-rag eval --system` takes, with options of its own behind it. Each
runs in a process of its own, so that its peak of memory is its own. A system whose result with the
same options is there already is not measured again; one that fails does not keep the others back.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from unimoer_rag.evaluation import load_result
from unimoer_rag.lab.systems import OURS, merged, summary

# What runs without any network.
DEFAULT = ("bm25", "backbone-cosine", "backbone", "unimoer")


def command(system: str, data: Path, split: str, options: str) -> list[str]:
    """The words of one measurement."""
    name, *own = shlex.split(system)
    return [
        *("unimoer-rag", "eval", "--data", str(data), "--split", split, "--system", name),
        *own,
        *shlex.split(options),
    ]


def target(out: Path, system: str, data: Path, split: str, options: str) -> Path:
    """Where a system's result on a data set is kept; all options are part of its name."""
    name = re.sub(r"[^0-9A-Za-z.]+", "-", f"{system} {options}").strip("-")
    return out / f"{data.name}-{split}" / f"{name}.json"


def measure(words: Sequence[str], file: Path, *, data: Path) -> bool:
    """Run one measurement and keep its result, with the command in it; whether it succeeded."""
    part = file.with_suffix(".part")
    done = subprocess.run(
        [sys.executable, "-m", "unimoer_rag.cli.main", *words[1:], "--json", str(part)],
        check=False,
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        return False
    shown = shlex.join(word.replace(str(data), f"DIR/{data.name}") for word in words)
    result = {"command": f"{shown} --json OUT", **json.loads(part.read_text(encoding="utf-8"))}
    part.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(file)
    return True


def keep(file: Path, results: dict[str, Path]) -> None:
    """Put what is kept of each system's result into a summary, in place of what was there."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    loaded = {system: load_result(path) for system, path in results.items()}
    new = [summary(system, result, loaded.get(OURS)) for system, result in loaded.items()]
    text = json.dumps(merged(kept, new), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, then print the table; 1 where a system failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="*", default=DEFAULT, metavar="SYSTEM")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--out", type=Path, default=Path("results/systems"))
    parser.add_argument("--options", default="", help='for every system: --options="--limit 100"')
    parser.add_argument("--summary", type=Path, help="a JSON that keeps each system's figures")
    chosen = parser.parse_args(arguments)
    data = chosen.data.resolve()  # has a name, even where "." was given
    measured: dict[str, Path] = {}
    failed = []
    for system in chosen.systems:
        file = target(chosen.out, system, data, chosen.split, chosen.options)
        words = command(system, data, chosen.split, chosen.options)
        file.parent.mkdir(parents=True, exist_ok=True)
        print(f"{file} is there already" if file.exists() else shlex.join(words), file=sys.stderr)
        if file.exists() or measure(words, file, data=data):
            measured[system] = file
        else:
            failed.append(system)
    shown = True
    if measured:
        files = map(str, measured.values())
        table = [sys.executable, "-m", "unimoer_rag.cli.main", "report", "table", *files]
        shown = subprocess.run(table, check=False).returncode == 0
        if chosen.summary is not None:
            keep(chosen.summary, measured)
    for system in failed:
        print(f"not measured: {system}", file=sys.stderr)
    return int(bool(failed) or not shown)


if __name__ == "__main__":
    sys.exit(main())
