"""A least-recently-used cache of token states, bounded in bytes."""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from unimoer_rag.model import LateState, Row

if TYPE_CHECKING:
    from unimoer_rag.engine.disk import DiskStates
    from unimoer_rag.model import PrefixKey, PrefixStates, Side

    Key = tuple[str, tuple[str, ...], float, bytes, int, Side | None] | PrefixKey
    States = LateState | PrefixStates

__all__ = ["StateCache"]


class StateCache:
    """Keeps the token states of texts encoded for late interaction, and of prefixes of rows.

    The same passages come back for query after query; encoding them once saves most of a
    reranking's work. The key holds every token and what of the task decides over their states, so
    two texts meet only if the model could not tell them apart. Prefixes are what joint rows of
    decoders begin with (see `model.prefix`).

    Args:
        capacity: bytes of states to keep at most; 0 keeps nothing.
        disk: keeps prefixes that hold a document in files too, which outlive the process.

    Attributes:
        nbytes: bytes kept now.
        hits: rows and prefixes that were found, in memory or on disk.
    """

    def __init__(self, capacity: int, disk: DiskStates | None = None) -> None:
        self.capacity, self.nbytes, self.hits = capacity, 0, 0
        self.disk = disk
        self._kept: OrderedDict[Key, States] = OrderedDict()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether it keeps anything at all."""
        return bool(self.capacity) or self.disk is not None

    def get(self, row: Row) -> LateState | None:
        """The kept output of an equal row."""
        if not (row.task.head_type.kept and self.capacity):
            return None
        found: Any = self._find(_key(row))
        return found  # type: ignore[no-any-return]

    def put(self, row: Row, output: Any) -> None:
        """Keep an output, letting go of the least recently used ones for room."""
        if row.task.head_type.kept:
            self._keep(_key(row), output)

    def get_prefix(self, key: PrefixKey) -> PrefixStates | None:
        """The kept states of a prefix."""
        found: Any = self._find(key)
        if found is None and self.disk is not None and key.document:
            found = self.disk.get(key)
            if found is not None:
                self._keep(key, found)
                with self._lock:
                    self.hits += 1
        return found  # type: ignore[no-any-return]

    def put_prefix(self, key: PrefixKey, states: PrefixStates) -> None:
        """Keep a prefix, letting go of the least recently used states for room."""
        self._keep(key, states)
        if self.disk is not None and key.document:
            self.disk.put(key, states)

    def clear(self) -> None:
        """Forget everything, as after a change of the model's weights.

        Files stay, under the name of the weights that they are of.
        """
        with self._lock:
            self._kept.clear()
            self.nbytes = 0
        if self.disk is not None:
            self.disk.renew()

    def __len__(self) -> int:
        return len(self._kept)

    def _find(self, key: Key) -> States | None:
        with self._lock:
            states = self._kept.get(key)
            if states is not None:
                self._kept.move_to_end(key)
                self.hits += 1
            return states

    def _keep(self, key: Key, states: States) -> None:
        if states.nbytes > self.capacity:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = states
            self.nbytes += states.nbytes
            while self.nbytes > self.capacity:
                _, dropped = self._kept.popitem(last=False)
                self.nbytes -= dropped.nbytes


def _key(row: Row) -> Key:
    task = row.task
    ids = array("i", row.ids).tobytes()
    return task.name, task.experts, task.strength, ids, row.unattended, row.side
