"""What waits in an engine's queue: jobs, functions of callers' own, and the rows that run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from unimoer_rag.engine.answers import Answer, Callbacks
from unimoer_rag.model import Job, Row

__all__ = ["Call", "Forward", "Item", "Lookup", "Pending"]

T = TypeVar("T")
Forward = Callable[[Sequence[Row]], Sequence[Any]]
Lookup = Callable[[Row], Any]


class Pending:
    """A job in the queue, what it has got so far, and the future that waits for it.

    The future stays "pending" until it has its result, so that it can be cancelled at any time.

    Args:
        job: the job.
        forward: runs a batch; bound to the engine, which lives as long as it has work.
        known: the output of a row that need not run, or None.
        callbacks: runs what is to be done once the future has its result.
    """

    def __init__(
        self, job: Job[Any], forward: Forward, known: Lookup, callbacks: Callbacks
    ) -> None:
        self.job, self.forward, self.known = job, forward, known
        self.future: Answer[Any] = Answer(callbacks)
        Future.add_done_callback(self.future, _acknowledge)
        self.outputs: list[Any] = [None] * len(job.rows)
        self.todo: deque[int] = deque()
        self._n_missing = 0

    def expect(self, rows: Iterable[int]) -> None:
        """Wait for the outputs of these rows; those of the others are there."""
        # By length: rows that are looked at together then need little padding.
        self.todo.extend(sorted(rows, key=lambda at: -len(self.job.rows[at].ids)))
        self._n_missing = len(self.todo)

    def give(self, at: int, output: Any) -> None:
        """Take the output of one row; the last one finishes the job."""
        self.outputs[at] = output
        self._n_missing -= 1
        if not self._n_missing:
            self.finish()

    def finish(self) -> None:
        """Answer the future from the outputs."""
        try:
            result = self.job.finish(self.outputs)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            self.fail(error)
        else:
            with suppress(InvalidStateError):  # cancelled meanwhile
                self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Answer the future with an error."""
        with suppress(InvalidStateError):  # cancelled meanwhile
            self.future.set_exception(error)

    def cancel(self) -> None:
        """Let whoever waits know that nothing will come."""
        self.future.cancel()


class Call(Generic[T]):
    """A function that runs alone, and the future that waits for its result."""

    def __init__(self, function: Callable[[], T], callbacks: Callbacks) -> None:
        self.function = function
        self.future: Answer[T] = Answer(callbacks)

    def run(self) -> None:
        """Run it, unless it was cancelled meanwhile."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.function()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            self.fail(error)
        else:
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Answer the future with an error."""
        with suppress(InvalidStateError):  # cancelled meanwhile
            self.future.set_exception(error)

    def cancel(self) -> None:
        """Let whoever waits know that nothing will come."""
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()


def _acknowledge(future: Future[Any]) -> None:
    # Without it `concurrent.futures.wait` never sees that a future was cancelled.
    if future.cancelled():
        future.set_running_or_notify_cancel()


class Item(NamedTuple):
    """A row to run, and the jobs that wait for its output, with its place in each."""

    row: Row
    takers: list[tuple[Pending, int]]

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not pending.future.done() for pending, _ in self.takers)

    def give(self, output: Any) -> None:
        """Hand the output to those who wait for it."""
        for pending, at in self.takers:
            if not pending.future.done():
                pending.give(at, output)

    def fail(self, error: BaseException) -> None:
        """Hand them the error."""
        for pending, _ in self.takers:
            pending.fail(error)

    def cancel(self) -> None:
        """Let them know that it will not run."""
        for pending, _ in self.takers:
            pending.future.cancel()
