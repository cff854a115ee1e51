"""A least-recently-used cache of token states, bounded in bytes."""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from typing import Any

from unimoer_rag.model.late import LateState
from unimoer_rag.model.rows import Row

__all__ = ["StateCache"]

Key = tuple[str, tuple[str, ...], float, bytes]


class StateCache:
    """Keeps the token states of texts encoded for late interaction.

    The same passages come back for query after query; encoding them once saves most of a
    reranking's work. The key holds every token and what of the task decides over their states, so
    two texts meet only if the model could not tell them apart.

    Args:
        capacity: bytes of states to keep at most; 0 keeps nothing.

    Attributes:
        nbytes: bytes kept now.
        hits: rows that were found.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.nbytes, self.hits = capacity, 0, 0
        self._kept: OrderedDict[Key, LateState] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, row: Row) -> LateState | None:
        """The kept output of an equal row."""
        if row.task.head != "late" or not self.capacity:
            return None
        key = _key(row)
        with self._lock:
            state = self._kept.get(key)
            if state is not None:
                self._kept.move_to_end(key)
                self.hits += 1
            return state

    def put(self, row: Row, output: Any) -> None:
        """Keep an output, letting go of the least recently used ones for room."""
        if not isinstance(output, LateState) or output.nbytes > self.capacity:
            return
        key = _key(row)
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = output
            self.nbytes += output.nbytes
            while self.nbytes > self.capacity:
                _, dropped = self._kept.popitem(last=False)
                self.nbytes -= dropped.nbytes

    def clear(self) -> None:
        """Forget everything, as after a change of the model's weights."""
        with self._lock:
            self._kept.clear()
            self.nbytes = 0

    def __len__(self) -> int:
        return len(self._kept)


def _key(row: Row) -> Key:
    task = row.task
    return task.name, task.experts, task.strength, array("i", row.ids).tobytes()
