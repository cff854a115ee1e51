"""The engine: every caller's work goes through one queue in front of one model.

Threads and coroutines hand in jobs and get futures. A single worker owns the device: it takes the
oldest rows of all waiting jobs, of whatever task, sorts them by token length, fills batches to a
token budget, and answers each job once its last row is done. Results keep input order.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine.cache import StateCache
from unimoer_rag.errors import UnimoerError
from unimoer_rag.model.batching import plan_batches
from unimoer_rag.model.jobs import Job, Reading, embedding, reading, scoring
from unimoer_rag.model.rows import Row, Side
from unimoer_rag.model.unimoer import UniMoER

__all__ = ["Engine", "EngineStats"]

T = TypeVar("T")

# Rows looked at together: enough to find others of the same length, few enough that a late
# arrival does not wait for long.
_WINDOW = 256
# Padded tokens a batch. Small batches stay in a CPU's cache; GPUs want them large.
_CPU_TOKENS, _GPU_TOKENS = 1024, 32768
_CACHE_BYTES = 256 * 2**20


@dataclass(slots=True)
class EngineStats:
    """What an engine has done since it was made.

    Attributes:
        jobs: calls answered or under way.
        rows: sequences run through the backbone (cached ones are not).
        truncated: sequences that were too long and lost their end.
        batches: forwards.
        tokens: real tokens in them.
        padded: tokens with padding.
    """

    jobs: int = 0
    rows: int = 0
    truncated: int = 0
    batches: int = 0
    tokens: int = 0
    padded: int = 0


@dataclass(slots=True, eq=False)
class _Pending:
    """A job in the queue."""

    job: Job[Any]
    future: Future[Any]
    outputs: list[Any]
    left: int
    started: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """One row of a job."""

    pending: _Pending
    at: int

    @property
    def row(self) -> Row:
        return self.pending.job.rows[self.at]


@dataclass(slots=True)
class _Queue:
    """What callers and the worker share."""

    items: deque[_Item] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False


_making = threading.Lock()


class Engine:
    """Runs one model for many callers; every method may be called from any thread.

    Args:
        model: the model; nothing else should run it meanwhile on a GPU.
        token_budget: padded tokens a batch; by default 1,024 on CPUs and 32,768 on GPUs.
        cache_bytes: memory for the token states of recently reranked texts; 0 keeps none.

    >>> engine = Engine.of(UniMoER.from_pretrained("unimoer-minilm"))  # doctest: +SKIP
    >>> engine.embed(["a text", "another"]).shape                      # doctest: +SKIP
    (2, 384)
    """

    def __init__(
        self,
        model: UniMoER,
        *,
        token_budget: int | None = None,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        self.model = model
        default = _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS
        self.token_budget = default if token_budget is None else token_budget
        self.cache = StateCache(cache_bytes)
        self.stats = EngineStats()
        self._queue = _Queue()
        self._worker: threading.Thread | None = None
        self._owner = 0

    @classmethod
    def of(cls, model: UniMoER) -> Engine:
        """The engine of a model: the same one for everybody while the model lives."""
        # Kept on the model itself: a table keyed by model would hold every model for ever,
        # since its engine does.
        with _making:
            engine: Engine | None = vars(model).get("_engine")
            if engine is None:
                engine = vars(model)["_engine"] = cls(model)
            return engine

    # -- the front doors --------------------------------------------------------------------

    def embed(self, texts: Sequence[str], side: Side = "document") -> NDArray[np.float32]:
        """L2-normalised embeddings, float32 `[n, dimension]`; see `UniMoER.embed`."""
        return self.submit(embedding(self.model, texts, side)).result()

    async def aembed(self, texts: Sequence[str], side: Side = "document") -> NDArray[np.float32]:
        """`embed` without blocking the event loop."""
        return await self._await(lambda: embedding(self.model, texts, side))

    def score(
        self, query: str, documents: Sequence[str], *, task: str = "rerank", logits: bool = False
    ) -> NDArray[np.float32]:
        """Relevance of each document, float32 `[n]`; see `UniMoER.score`."""
        return self.submit(scoring(self.model, query, documents, task, logits=logits)).result()

    async def ascore(
        self, query: str, documents: Sequence[str], *, task: str = "rerank", logits: bool = False
    ) -> NDArray[np.float32]:
        """`score` without blocking the event loop."""
        return await self._await(
            lambda: scoring(self.model, query, documents, task, logits=logits)
        )

    def read(self, question: str, passages: Sequence[str]) -> list[Reading]:
        """The best answer span of each passage; see `UniMoER.read`."""
        return self.submit(reading(self.model, question, passages)).result()

    async def aread(self, question: str, passages: Sequence[str]) -> list[Reading]:
        """`read` without blocking the event loop."""
        return await self._await(lambda: reading(self.model, question, passages))

    async def _await(self, make: Any) -> Any:
        # Tokenising a large request takes a while too: not on the event loop.
        job = await asyncio.to_thread(make)
        return await asyncio.wrap_future(self.submit(job))

    # -- the queue --------------------------------------------------------------------------

    def submit(self, job: Job[T]) -> Future[T]:
        """Queue a job. Cancelling the future drops what has not run yet.

        Raises:
            UnimoerError: the engine is closed.
        """
        future: Future[T] = Future()
        pending = _Pending(job, future, [None] * len(job.rows), len(job.rows))
        items = []
        for at, row in enumerate(job.rows):
            kept = self.cache.get(row)
            if kept is None:
                items.append(_Item(pending, at))
            else:
                pending.outputs[at] = kept
                pending.left -= 1
        with self._queue.changed:
            if self._queue.closed:
                raise UnimoerError("this engine is closed: make a new one")
            self.stats.jobs += 1
            self.stats.truncated += job.n_truncated
            if items:
                self._start()
                self._queue.items.extend(items)
                self._queue.changed.notify()
        if not items:
            _finish(pending)
        return future

    def _start(self) -> None:
        """Start the worker; again in a child process, where threads do not follow."""
        if self._worker is None or not self._worker.is_alive() or self._owner != os.getpid():
            self._owner = os.getpid()
            self._worker = threading.Thread(
                target=_work, args=(weakref.ref(self), self._queue), name="unimoer-engine",
                daemon=True,
            )  # fmt: skip
            self._worker.start()

    def _run(self, window: list[_Item]) -> None:
        """All rows of a window, batch by batch."""
        window = [item for item in window if not _dropped(item.pending)]
        for at in plan_batches([len(item.row.ids) for item in window], self.token_budget):
            batch = [window[i] for i in at if not _dropped(window[i].pending)]
            if not batch:
                continue
            rows = [item.row for item in batch]
            try:
                outputs = self.model.run(rows)
            except BaseException as error:  # noqa: BLE001 - handed to the callers, none is lost
                for pending in {item.pending for item in batch}:
                    _fail(pending, error)
                continue
            self.stats.batches += 1
            self.stats.rows += len(rows)
            self.stats.tokens += sum(len(row.ids) for row in rows)
            self.stats.padded += len(rows) * max(len(row.ids) for row in rows)
            for item, output in zip(batch, outputs, strict=True):
                self.cache.put(item.row, output)
                item.pending.outputs[item.at] = output
                item.pending.left -= 1
                if item.pending.left == 0:
                    _finish(item.pending)

    def close(self) -> None:
        """Let the worker finish what is queued, then stop it; closing twice is harmless."""
        with self._queue.changed:
            self._queue.closed = True
            self._queue.changed.notify_all()
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _work(engine_ref: weakref.ref[Engine], queue: _Queue) -> None:
    """The worker's loop; holds the engine only while there is work, so that it can be freed."""
    while True:
        with queue.changed:
            while not queue.items and not queue.closed:
                queue.changed.wait(timeout=1.0)
                if not queue.items and engine_ref() is None:
                    return
            if not queue.items:
                return
            window = [queue.items.popleft() for _ in range(min(_WINDOW, len(queue.items)))]
        engine = engine_ref()
        if engine is None:
            return
        engine._run(window)
        del engine, window


def _dropped(pending: _Pending) -> bool:
    """Whether a job was cancelled or failed; a job's first row marks it as running."""
    if pending.future.done():
        return True
    if not pending.started:
        pending.started = pending.future.set_running_or_notify_cancel()
        return not pending.started
    return False


def _finish(pending: _Pending) -> None:
    if not pending.started and not pending.future.set_running_or_notify_cancel():
        return
    try:
        pending.future.set_result(pending.job.finish(pending.outputs))
    except CancelledError:
        return
    except Exception as error:  # noqa: BLE001 - handed to the caller
        pending.future.set_exception(error)


def _fail(pending: _Pending, error: BaseException) -> None:
    if not pending.future.done():
        pending.future.set_exception(error)
