"""Hostile inputs through every door: each ends in a typed error or a stated behaviour.

A finding is any other exception, ten seconds without an end, two gigabytes more memory, or a
process that dies. Every input is made from the door's name and a number, so it can be had again:

    python scripts/fuzz.py                      # 10,000 inputs, shared out over the doors
    python scripts/fuzz.py --door filters --start 17 --inputs 1 --traceback
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parent))
from fuzzing import model_doors  # noqa: F401  # registers its doors
from fuzzing.doors import DOORS

_SECONDS = 10
_PATIENCE = 90  # for code that no signal interrupts, on a busy machine
_MEMORY = 2 << 30
_WARM = 3  # inputs that count for nothing: until then libraries and the model are loaded
# Those that load a model or run a command at each input take longer.
_SHARES = {"checkpoint": 0.3, "command_line": 0.5, "index_on_disk": 0.2}


def _virtual() -> int:
    """Bytes of address space that this process has."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


def _expired(*_: object) -> NoReturn:
    raise TimeoutError(f"no end within {_SECONDS} s")


def one(door: str, number: int, seconds: int = _SECONDS) -> str:
    """Push one input through a door; "" where it ended as it should, else what came."""
    from unimoer_rag.errors import UnimoerError

    with tempfile.TemporaryDirectory() as folder:
        signal.alarm(seconds)
        try:
            DOORS[door](Random(f"{door} {number}"), Path(folder))
        except UnimoerError:
            return ""
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is a finding
            return f"{type(error).__name__}: {error!s:.200}\n{traceback.format_exc()}"
        finally:
            signal.alarm(0)
    return ""


def work(door: str, start: int, stop: int) -> None:
    """The child: a line of JSON for each input, when it begins and when it has ended."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _expired)
    # The descriptor itself: libraries in other languages print too.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for number in range(_WARM):
        one(door, number, seconds=_PATIENCE)
    limit = _virtual() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(start, stop):
        print(json.dumps([number, one(door, number)]), file=out, flush=True)


def _child(door: str, start: int, stop: int) -> tuple[int, list[tuple[int, str]]]:
    """Run a child to its end or its death; how far it came, and what it found."""
    command = [sys.executable, __file__, "--work", "--door", door, "--start", str(start)]
    child = subprocess.Popen(
        [*command, "--inputs", str(stop - start)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    assert child.stdout is not None
    threading.Thread(target=lambda: [*map(lines.put, child.stdout), lines.put("")]).start()  # type: ignore[arg-type]
    findings, number = [], start
    while number < stop:
        try:
            line = lines.get(timeout=_PATIENCE * (_WARM + 1 if number == start else 1))
        except queue.Empty:
            child.kill()
            return number + 1, [*findings, (number, f"hangs: killed after {_PATIENCE} s")]
        if not line:
            return number + 1, [*findings, (number, f"the process died: {child.wait()}")]
        number, said = json.loads(line)
        if said:
            findings.append((number, said))
        number += 1
    child.wait()
    return number, findings


def fuzz(door: str, start: int, n_inputs: int) -> list[tuple[int, str]]:
    """All inputs of a door; a child that dies is followed by another."""
    findings, number, stop = [], start, start + n_inputs
    while number < stop:
        number, found = _child(door, number, stop)
        findings += found
    return findings


def main() -> None:
    """Run the doors asked for; exits 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", choices=DOORS, action="append")
    parser.add_argument("--inputs", type=int, default=10_000, help="of all doors together")
    parser.add_argument("--start", type=int, default=0, help="the first input's number")
    parser.add_argument("--traceback", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    doors = options.door or list(DOORS)
    if options.work:
        work(doors[0], options.start, options.start + options.inputs)
        return
    whole = sum(_SHARES.get(door, 1.0) for door in doors)
    result: dict[str, Any] = {}
    for door in doors:
        n_inputs = max(1, round(options.inputs * _SHARES.get(door, 1.0) / whole))
        began = time.perf_counter()
        findings = fuzz(door, options.start, n_inputs)
        seconds = time.perf_counter() - began
        print(
            f"{door:16} {n_inputs:6} inputs {len(findings):4} findings {seconds:6.0f} s", flush=True
        )
        kinds = Counter(said.split(":")[0] for _, said in findings)
        result[door] = {"inputs": n_inputs, "findings": len(findings), "kinds": dict(kinds)}
        for number, said in findings[: 100 if options.traceback else 8]:
            print(f"  {number}: {said if options.traceback else said.splitlines()[0]}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.exit(any(found["findings"] for found in result.values()))


if __name__ == "__main__":
    main()
