"""Lanes: threads that run batches side by side on a CPU, each on its share of the cores.

Two small batches on a core each are done sooner than one after the other on both: the threads of
one batch wait for each other at the end of every operation, those of two batches never do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import torch

__all__ = ["Lanes"]

Work = Callable[[], Any]
Done = Callable[[Any, Any], None]


class Lanes:
    """A few threads that run what they are given and hand over the results.

    Not for many callers: one thread submits, and says what has ended. The threads start with the
    first work.

    Args:
        n: how many; with one, work runs in the caller's thread.
        done: gets each work's key and result, in the thread that ran it.

    Attributes:
        n: how many there are.
        n_running: works submitted that have not been said to have ended.
    """

    def __init__(self, n: int, done: Done) -> None:
        self.n = n
        self.n_running = 0
        self._done = done
        self._work: SimpleQueue[tuple[Any, Work] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def full(self) -> bool:
        """Whether every lane has work."""
        return self.n_running >= self.n

    def has(self, thread: threading.Thread) -> bool:
        """Whether a thread is one of them."""
        return thread in self._threads

    def submit(self, key: Any, work: Work, *, alone: bool) -> None:
        """Give a lane something to do.

        Args:
            key: handed over with the result.
            work: runs in a lane; raises nothing.
            alone: nothing else is to run meanwhile: the caller's thread does it on all cores.
        """
        self.n_running += 1
        if alone or self.n == 1:
            self._done(key, work())
            return
        self._start()
        self._work.put((key, work))

    def ended(self) -> None:
        """Note that the result of one work has been dealt with: its lane is free."""
        self.n_running -= 1

    def close(self) -> None:
        """End the threads after the work they have; closing twice is harmless."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self) -> None:
        if self._threads:
            return
        cores = torch.get_num_threads()
        share = max(cores // self.n, 1)
        ready = threading.Barrier(self.n + 1)
        for at in range(self.n):
            thread = threading.Thread(
                target=self._serve, args=(share, ready), name=f"unimoer-lane-{at}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no thread left: those that wait for the others shall not
                ready.abort()
                raise
            self._threads.append(thread)
        ready.wait()
        # Torch keeps the last number set for threads that begin later; those are not lanes.
        torch.set_num_threads(cores)

    def _serve(self, share: int, ready: threading.Barrier) -> None:
        torch.get_num_threads()  # once asked, torch no longer gives this thread the common number
        torch.set_num_threads(share)
        with suppress(threading.BrokenBarrierError):
            ready.wait()
        while (item := self._work.get()) is not None:
            key, work = item
            self._done(key, work())
            del item, key, work  # what they hold may be done with before the next work comes
