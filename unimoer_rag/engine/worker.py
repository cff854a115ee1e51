"""The worker: one thread that makes batches out of many callers' jobs, and lanes that run them.

Jobs are served by a fair queue: a job's turn comes as if every row of it had waited for the rows
in front of it. A question therefore does not wait until a large indexing job is through, the
large job is never starved by questions, and jobs of one size are served in order of arrival.

Equal rows that wait at the same time run once, and a row whose output has become known since it
was queued does not run at all: many callers who ask about the same passages cost little more than
one.

Calls, such as the next tokens of an answer, run between two batches while no other runs, each once:
an answer goes on while a large job runs, and the job while answers are written.
"""

from __future__ import annotations

import atexit
import math
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from functools import partial
from heapq import heappop, heappush
from itertools import count
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import torch

from unimoer_rag.engine.answers import Callbacks
from unimoer_rag.engine.lanes import Lanes
from unimoer_rag.engine.queued import Call, Item, Pending
from unimoer_rag.errors import UnimoerError
from unimoer_rag.model import FEWEST_TOKENS, Home, plan_batches

__all__ = ["Worker"]

T = TypeVar("T")

# Budgets of tokens looked at together: enough to find rows of one length, few enough that a late
# question does not wait for long.
_WINDOW = 8


_Result = tuple[Any, BaseException | None]


class _Ran(NamedTuple):
    """A batch that has run in a lane."""

    batch: Sequence[Item]
    results: Sequence[_Result]


class _Room:
    """Padded tokens that a batch may have: fewer once the device's memory did not hold a batch.

    What else has memory there (an engine that generates, another process) may come and go; a batch
    that failed is what tells.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def shrink(self, batch: Sequence[Item]) -> None:
        """Leave room for half of a batch that memory did not hold. Called in a lane."""
        padded = len(batch) * max(len(item.row.ids) for item in batch)
        self.tokens = min(self.tokens, max(padded // 2, FEWEST_TOKENS))


# Those that still have a thread: at the interpreter's exit none may be inside torch.
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()

# How long the exit waits for a batch under way, in seconds.
_PATIENCE = 60.0


@atexit.register
def _leave() -> None:
    for worker in list(_workers):
        worker.abandon()
    for worker in list(_workers):
        worker.join(_PATIENCE)


class Worker:
    """Serves jobs in one thread, which starts with the first of them.

    It knows no engine but through the jobs it has, so an engine without work can be freed.

    Args:
        token_budget: padded tokens a batch; fewer after a device's memory ran out.
        lanes: batches that run side by side.
    """

    def __init__(self, token_budget: int, lanes: int = 1) -> None:
        self._batch = _Room(token_budget)
        # May be put to from a garbage collection at any point, which no lock of ours could be.
        self._inbox: SimpleQueue[Pending | Call[Any] | _Ran | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._home = Home()
        self.closed = self._abandoned = False
        # The thread's own.
        self._lanes = Lanes(lanes, lambda batch, results: self._inbox.put(_Ran(batch, results)))
        self._waiting: list[tuple[int, int, Pending]] = []
        self._planned: deque[list[Item]] = deque()
        self._planned_for = token_budget
        self._calls: deque[Call[Any]] = deque()
        self._arrivals = count()
        self._n_served = 0
        self._ending = False
        self.callbacks = Callbacks(self._is_own)
        _workers.add(self)

    def check(self) -> None:
        """Raise if no job can be taken.

        Raises:
            UnimoerError: it is closed, or this process is a fork of the one it works in.
        """
        self._home.check()
        if self.closed:
            raise UnimoerError("this engine is closed: Engine.of(model) gives a new one")

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Queue a function to run alone; raises as `check` does."""
        call = Call(function, self.callbacks)
        self.put(call)
        return call.future

    def put(self, work: Pending | Call[Any]) -> None:
        """Queue a job or a call; raises as `check` does."""
        self.check()
        with self._lock:
            self.check()
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="unimoer-engine", daemon=True)
                thread.start()
                self._thread = thread
            self._inbox.put(work)

    def close(self) -> None:
        """Finish what is queued, then stop; closing twice is harmless.

        In a thread of its own, such as in a function given to `call`, it returns at once.
        """
        if self._home.left:  # whose lock may have been held when it was forked
            self.closed = True
            return
        with self._lock:
            self.closed = True
            self._inbox.put(None)
        self.join()

    def abandon(self) -> None:
        """Stop after the batch under way, cancelling the rest; nobody waits for it.

        For an engine that is gone: whichever thread let go of it may be the worker's, a lane's, or
        one that they wait for.
        """
        if not self._home.left:
            self.closed = self._abandoned = True
            self._inbox.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Wait until its thread has ended, unless that would be to wait for oneself."""
        if self._thread is not None and not self._is_own() and not self._home.left:
            self._thread.join(timeout)

    def _is_own(self) -> bool:
        """Whether this is one of the threads that answers come from."""
        current = threading.current_thread()
        return current is self._thread or self._lanes.has(current)

    # -- in the thread ----------------------------------------------------------------------

    def _serve(self) -> None:
        error: BaseException | None = None
        try:
            while self._gather():
                if self._calls:
                    self._drain()
                    self._run_calls()
                self._start()
            self._drain()
        except BaseException as unforeseen:  # noqa: BLE001 - handed to all who wait
            error, self.closed = unforeseen, True
        finally:
            self._lanes.close()
            self._let_go(error)

    def _let_go(self, error: BaseException | None) -> None:
        """Cancel what is left, or answer it with an error."""
        left: list[Pending | Call[Any] | Item] = [item for batch in self._planned for item in batch]
        left += [pending for _, _, pending in self._waiting]
        left += self._calls
        with self._lock:  # whoever comes later finds it closed
            while not self._inbox.empty():
                late = self._inbox.get()
                if isinstance(late, _Ran):
                    left += late.batch
                elif late is not None:
                    left.append(late)
        for work in left:
            if error is None:
                work.cancel()
            else:
                work.fail(error)

    def _gather(self) -> bool:
        """Take in what has arrived or ended, until something can be begun; False to stop."""
        while not self._abandoned:
            has_rows = bool(self._waiting or self._planned)
            can_begin = bool(self._calls) or (has_rows and not self._lanes.full)
            if self._inbox.empty():
                if can_begin:
                    return True
                if self._ending and not has_rows and not self._lanes.n_running:
                    return False
            self._take_in(self._inbox.get())
        return False

    def _take_in(self, work: Pending | Call[Any] | _Ran | None) -> None:
        if work is None:
            self._ending = True
        elif isinstance(work, _Ran):
            self._lanes.ended()
            _answer(work.batch, work.results)
        elif isinstance(work, Call):
            self._calls.append(work)
        else:
            turn = self._n_served + len(work.todo)
            heappush(self._waiting, (turn, next(self._arrivals), work))

    def _drain(self) -> None:
        """Let what runs in the lanes come to its end."""
        while self._lanes.n_running:
            self._take_in(self._inbox.get())

    def _run_calls(self) -> None:
        """The calls that wait now; one that a result leads to has its turn after a batch."""
        for _ in range(len(self._calls)):
            if self._abandoned:
                return
            self._calls.popleft().run()

    def _window(self) -> list[Item]:
        """The rows whose turn it is, each once."""
        window: dict[Hashable, Item] = {}
        room = _WINDOW * self._batch.tokens
        while self._waiting and room > 0:
            pending = self._waiting[0][2]
            if pending.future.done() or not pending.todo:
                heappop(self._waiting)
                continue
            at = pending.todo.popleft()
            row = pending.job.rows[at]
            self._n_served += 1
            output = pending.known(row)
            if output is not None:
                pending.give(at, output)
                continue
            key = row.key  # made of every token: once is enough
            if key in window:
                window[key].takers.append((pending, at))
            else:
                window[key] = Item(row, [(pending, at)])
                room -= len(row.ids)
        return list(window.values())

    def _start(self) -> None:
        """Give every free lane a batch, where there are rows for one."""
        while not self._lanes.full and not self._abandoned:
            if not self._planned:
                self._plan(self._window())
            elif self._planned_for > self._batch.tokens:
                planned = [item for batch in self._planned for item in batch]
                self._planned.clear()
                self._plan(planned)
            if not self._planned:
                return
            batch = [item for item in self._planned.popleft() if item.wanted]
            if batch:
                alone = not (self._lanes.n_running or self._planned or self._waiting)
                self._lanes.submit(batch, partial(_outputs, batch, self._batch), alone=alone)

    def _plan(self, window: Sequence[Item]) -> None:
        """Make batches of the rows of a window."""
        self._planned_for = self._batch.tokens
        lengths = [len(item.row.ids) for item in window]
        plan = plan_batches(lengths, self._share(lengths))
        self._planned.extend([window[at] for at in batch] for batch in plan)

    def _share(self, lengths: Sequence[int]) -> int:
        """Tokens a batch, such that no lane is left without work at the end."""
        total, budget = sum(lengths), self._batch.tokens
        # What is little goes to the lane that is free while others work.
        few = total <= budget and self._lanes.n_running
        lanes = 1 if few else self._lanes.n
        rounds = math.ceil(total / (budget * lanes))
        even = math.ceil(total / max(rounds * lanes, 1))
        # Rows are whole: a little more lets the last of them in.
        return min(budget, even + max(lengths, default=0) // 2)


def _outputs(batch: Sequence[Item], room: _Room) -> list[_Result]:
    """Each row's output, or the error of a row that has none. Runs in a lane and raises nothing."""
    forward = batch[0].takers[0][0].forward
    try:
        return [(output, None) for output in forward([item.row for item in batch])]
    except BaseException as error:  # noqa: BLE001 - handed to the caller at fault
        if isinstance(error, torch.OutOfMemoryError):
            room.shrink(batch)
        if len(batch) == 1:
            return [(None, error)]
    # Halving finds the row at fault, so that other callers' rows are spared; it also makes
    # room where a device's memory ran out.
    middle = len(batch) // 2
    return [*_outputs(batch[:middle], room), *_outputs(batch[middle:], room)]


def _answer(batch: Sequence[Item], results: Sequence[_Result]) -> None:
    """Hand a batch's outputs to those who wait for them."""
    for item, (output, error) in zip(batch, results, strict=True):
        if error is None:
            item.give(output)
        else:
            item.fail(error)
