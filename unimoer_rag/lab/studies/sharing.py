"""Work that several processes may do together: each item is done by one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

__all__ = ["share"]

K = TypeVar("K")
V = TypeVar("V")

_LOCK = "lock"


def share(items: Iterable[K], folder: Callable[[K], Path], work: Callable[[K], V]) -> dict[K, V]:
    """The result of every item, in order; what another process is at is left to it.

    Args:
        items: what to do.
        folder: where an item keeps what was done: `work` finds there what another process made.
        work: does an item, or takes its result from its folder.
    """
    wanted = list(items)
    done: dict[K, V] = {}
    wait = False
    while len(done) < len(wanted):
        before = len(done)
        for item in (i for i in wanted if i not in done):
            path = folder(item)
            path.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(path / _LOCK, timeout=-1 if wait else 0):
                    done[item] = work(item)
            except Timeout:
                continue
            wait = False
        wait = len(done) == before  # all that is left is under way elsewhere
    return {item: done[item] for item in wanted}
