"""Futures of an engine: whoever waits for one, or is called back by one, holds up nobody else.

`concurrent.futures` runs callbacks in the thread that sets the result. Here that is the one thread
all answers come from: a callback that asks the engine again would wait for itself. Callbacks
therefore run in threads of their own, and a wait inside the engine's threads is refused.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from unimoer_rag.errors import UnimoerError
from unimoer_rag.model import Home

__all__ = ["Answer", "Callbacks"]

T = TypeVar("T")
Callback = Callable[[Future[T]], object]

_log = logging.getLogger(__name__)

# How long a thread waits for the next callbacks, in seconds.
_IDLE = 1.0


class Callbacks:
    """Threads that run callbacks: always one more than are busy, so that none waits for another.

    They start when they are needed and end when they are not.

    Args:
        own: whether the current thread is one that answers come from.
    """

    def __init__(self, own: Callable[[], bool]) -> None:
        self.own = own
        self._home = Home()
        self._lock = threading.Lock()
        self._n_free = 0
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self, work: Callable[[], None]) -> None:
        """Run something soon: here, where that holds up no answer, else in one of the threads."""
        if not self.own():
            work()
            return
        with self._lock:
            starts = self._n_free == 0
            self._n_free -= not starts
        if starts:
            try:
                threading.Thread(target=self._serve, name="unimoer-callbacks", daemon=True).start()
            except RuntimeError:  # the interpreter is at its end, or there is no thread left
                work()
                return
        self._work.put(work)

    def check_wait(self) -> None:
        """Raise where a wait for an answer would never end.

        Raises:
            UnimoerError: this is a thread that answers come from, or a fork of their process.
        """
        self._home.check()
        if self.own():
            raise UnimoerError(
                "an answer is waited for in the engine's own thread, which would have to give it: "
                "ask from another thread, or go on in a callback (Future.add_done_callback)"
            )

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    ends = self._n_free > 0  # else work is on its way to this thread
                    self._n_free -= ends
                if ends:
                    return
                continue
            work()
            del work  # what it holds may be done with before the next comes
            with self._lock:
                self._n_free += 1


class Answer(Future[T]):
    """What a caller gets for a job or a call.

    Args:
        callbacks: runs what is to be done once it is there.
    """

    def __init__(self, callbacks: Callbacks) -> None:
        super().__init__()
        self._threads = callbacks
        self._lock = threading.Lock()
        self._waiting: list[Callback[T]] | None = []
        super().add_done_callback(self._done)

    def add_done_callback(self, fn: Callback[T]) -> None:
        """Have a function called with this future once it is done, at once if it is.

        Functions are called in the order they were added, in a thread where they may wait for
        whatever they like, the engine included.
        """
        with self._lock:
            if self._waiting is not None:
                self._waiting.append(fn)
                return
        self._threads.run(lambda: self._call([fn]))

    def result(self, timeout: float | None = None) -> T:
        """The answer, once it is there; see `concurrent.futures.Future.result`.

        Raises:
            UnimoerError: asked in the thread that it would have to come from, or in a fork.
        """
        self._check()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, if it comes to one; as `result`."""
        self._check()
        return super().exception(timeout)

    def _check(self) -> None:
        if not self.done():
            self._threads.check_wait()

    def _done(self, _: Future[T]) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting:
            self._threads.run(lambda: self._call(waiting))

    def _call(self, functions: list[Any]) -> None:
        for function in functions:
            try:
                function(self)
            except BaseException:  # noqa: BLE001
                # Its caller's fault and nobody's to catch, as in `concurrent.futures`.
                _log.exception("exception calling callback for %r", self)
