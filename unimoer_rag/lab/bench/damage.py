"""Bits flipped in each file of an index, a full disk, a folder that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from unimoer_rag.errors import StoreError, UnimoerError
from unimoer_rag.lab.bench.kill_side import DIMENSION, answers, document, passages, vectors
from unimoer_rag.retrieval import BM25Encoder, EdgeStore, Record

__all__ = ["measure_flips", "measure_full_disk", "measure_read_only"]

_DISK = 200 << 20
_DOCUMENTS = 50


def _write(index: Path, first: int, n: int) -> None:
    with EdgeStore(index, dimension=DIMENSION) as store:
        for number in range(first, first + n):
            cut = passages(document(f"doc{number}.md", 1))
            rows = vectors([p.text for p in cut])
            store.upsert(
                Record(passage, row, BM25Encoder().document(passage.text))
                for passage, row in zip(cut, rows, strict=True)
            )
            store.flush()
        store.set_identity({"documents": first + n})


def measure_flips(folder: Path, *, each: int, seed: int) -> dict[str, Any]:
    """Flip single bits in every file of an index, each by itself, and open it.

    Args:
        folder: for the index; empty.
        each: places in a file, among its bytes that are not zero (those of holes are no bytes).
        seed: of the places.
    """
    index = folder / "flipped"
    _write(index, 0, _DOCUMENTS)
    with EdgeStore(index) as store:
        expected = answers(store)
    random, outcome = np.random.default_rng(seed), Counter[str]()
    silent: list[str] = []
    files = sorted(file for file in index.rglob("*") if file.is_file())
    for file in files:
        whole = file.read_bytes()
        used = np.flatnonzero(np.frombuffer(whole, np.uint8))
        for at in random.choice(used, min(each, len(used)), replace=False) if len(used) else []:
            _overwrite(file, int(at), whole[at] ^ 1 << int(random.integers(8)))
            try:
                with EdgeStore(index) as store:
                    same = answers(store) == expected
            except UnimoerError:
                outcome["detected"] += 1
            else:
                outcome["same results" if same else "other results"] += 1
                if not same:
                    silent.append(f"{file.relative_to(index).as_posix()} at {at}")
            file.write_bytes(whole)
    return {"files": len(files), "flips": sum(outcome.values()), **outcome, "silent": silent}


def _overwrite(file: Path, at: int, value: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(bytes([value]))


@contextmanager
def _mounted(command: list[str], target: Path) -> Iterator[bool]:
    """A file system at a folder, where this process may mount one."""
    target.mkdir(exist_ok=True)
    tool = shutil.which("mount")
    done = (
        tool is not None
        and not subprocess.run(
            ["mount", *command, str(target)], check=False, capture_output=True
        ).returncode
    )
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(target)], check=True)


def measure_full_disk(folder: Path) -> dict[str, Any] | None:
    """Fill a disk while documents are added; search, delete, make room, go on.

    Returns:
        What happened; None where no disk can be mounted.
    """
    image, disk = folder / "image", folder / "disk"
    with image.open("wb") as file:
        file.truncate(_DISK)
    make = shutil.which("mkfs.ext4")
    if make is None or subprocess.run([make, "-q", image], check=False).returncode:
        return None
    with _mounted(["-o", "loop", str(image)], disk) as mounted:
        return _fill_up(disk) if mounted else None


def _fill_up(disk: Path) -> dict[str, Any]:
    index = disk / "index"
    _write(index, 0, _DOCUMENTS)
    with EdgeStore(index) as store:
        stored = answers(store)
    _leave(disk, 4 << 20)
    told = ""
    try:
        _write(index, _DOCUMENTS, 1)
    except StoreError as error:
        told = str(error).partition(": ")[2]
    with EdgeStore(index) as store:
        searched = answers(store) == stored
        deleted = store.delete(filters={"source": "doc0.md"})
    (disk / "filler").unlink()
    _write(index, 0, _DOCUMENTS + 1)
    with EdgeStore(index) as store:
        n_passages = store.count()
    return {
        "adding": told,
        "searched_the_same": searched,
        "deleted": deleted,
        "went_on": n_passages == 6 * (_DOCUMENTS + 1),
    }


def _leave(disk: Path, n_bytes: int) -> None:
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - n_bytes)


def measure_read_only(folder: Path) -> dict[str, Any] | None:
    """Search an index on a file system that cannot be written, and try to change it.

    Returns:
        What happened; None where nothing can be mounted.
    """
    index = folder / "read-only"
    _write(index, 0, _DOCUMENTS)
    with EdgeStore(index) as store:
        stored = answers(store)
    with _mounted(["--bind", str(index)], index) as mounted:
        if not mounted:
            return None
        subprocess.run(["mount", "-o", "remount,ro,bind", str(index)], check=True)
        with EdgeStore(index) as store:
            searched, told = answers(store) == stored, ""
            try:
                store.delete(filters={"source": "doc0.md"})
            except StoreError as error:
                told = str(error).partition(": ")[2]
    _write(index, _DOCUMENTS, 1)
    with EdgeStore(index) as store:
        n_passages = store.count()
    return {
        "searched_the_same": searched,
        "deleting": told,
        "went_on": n_passages == 6 * (_DOCUMENTS + 1),
    }
