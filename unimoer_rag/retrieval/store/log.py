"""Whether the engine's log goes on from what its segments hold.

The engine numbers its operations by their places in the log, and leaves out one whose number a
passage has seen. Behind a log that was lost or cut short, numbers begin again: changes would be
dropped without a word.
"""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from pathlib import Path

import qdrant_edge as edge

from unimoer_rag.errors import IndexCorruptError
from unimoer_rag.retrieval.store import base

__all__ = ["check_log", "forget_probe", "renew_log"]

_logger = logging.getLogger(__name__)

_PROBE = uuid.UUID(int=0)  # no passage has this id
_TERM = edge.SparseVector([0], [1.0])


def check_log(path: Path, files: Path, shard: edge.EdgeShard, *, interrupted: bool) -> None:
    """See that the next operation gets a number that no passage has seen.

    Args:
        path: the index, for messages.
        files: where its files are.
        shard: the loaded index, which nobody else uses meanwhile.
        interrupted: whether a process died within a change, which the log alone may hold.

    Raises:
        IndexCorruptError: the log was lost or cut short, and changes may be lost with it.
    """
    seen = max(_version(file) for file in (files / "shard/segments").glob("*/segment.json"))
    if _next_number(shard) > seen:
        return
    if interrupted:
        raise IndexCorruptError(
            f"index {str(path)!r} has lost its write-ahead log, or a part of it, after a change "
            "was interrupted: what was not flushed may be missing; restore it from a copy, or "
            "delete the folder and index the documents again"
        )
    _logger.warning("index %r has lost its write-ahead log; all was flushed, it goes on", str(path))
    nothing = edge.UpdateOperation.delete_points([])
    for _ in range(seen + 1):
        shard.update(nothing)


def renew_log(path: Path, files: Path) -> None:
    """Let the engine begin a new log in the place of one that lacks files.

    Nothing may wait in the old one, and `check_log` must follow before a change.
    """
    _logger.warning("files of the log of index %r are missing; all was flushed", str(path))
    shutil.rmtree(files / "shard/wal", ignore_errors=True)


def _next_number(shard: edge.EdgeShard) -> int:
    """The number of an operation, by two that leave nothing behind; -1 for one that is dropped."""
    shard.update(edge.UpdateOperation.upsert_points([_probe()]))
    request = edge.QueryRequest(
        1,
        query=edge.Query.Nearest(_TERM, using=base.SPARSE),
        filter=edge.Filter(must=[edge.HasIdCondition({_PROBE})]),
    )
    found = shard.query(request)
    shard.update(edge.UpdateOperation.delete_points([_PROBE]))
    return found[0].version if found else -1


def forget_probe(shard: edge.EdgeShard) -> None:
    """Remove what a kill within `check_log` left."""
    if shard.retrieve([_PROBE], False, False):
        shard.update(edge.UpdateOperation.delete_points([_PROBE]))


def _probe() -> edge.Point:
    return edge.Point(_PROBE, {base.SPARSE: _TERM}, {})


def _version(segment: Path) -> int:
    return int(json.loads(segment.read_text(encoding="utf-8"))["version"] or 0)
