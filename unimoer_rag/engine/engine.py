"""The engine: every caller's work goes through one queue in front of one model.

Threads and coroutines hand in jobs and get futures. A single worker owns the device: it takes the
rows of all waiting jobs, of whatever task, sorts them by token length, fills batches to a token
budget, and answers each job once its last row is done. On a CPU batches run side by side, each on
its share of the cores. Results keep input order.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.closing import Closing
from unimoer_rag.engine.cache import StateCache
from unimoer_rag.engine.queued import Pending
from unimoer_rag.engine.worker import Worker
from unimoer_rag.errors import InputError
from unimoer_rag.model import (
    CACHE_BYTES,
    Job,
    Reading,
    Row,
    Side,
    UniMoER,
    classifying,
    count_lanes,
    default_token_budget,
    embedding,
    ranking,
    reading,
    scoring,
)
from unimoer_rag.steps import Steps, apart, arun, result, run

if TYPE_CHECKING:
    from unimoer_rag.engine.disk import DiskStates

__all__ = ["Engine", "EngineStats"]

P = ParamSpec("P")
T = TypeVar("T")

_DISK_BYTES = 8 * 2**30


@dataclass(slots=True)
class EngineStats:
    """What an engine has done since it was made.

    Attributes:
        jobs: calls answered or under way.
        rows: sequences run through the backbone (cached ones are not).
        truncated: sequences that were too long and lost their end.
        batches: forwards.
        tokens: real tokens in them; what rows begin with counts for each, though it ran once.
        padded: tokens with padding.
    """

    jobs: int = 0
    rows: int = 0
    truncated: int = 0
    batches: int = 0
    tokens: int = 0
    padded: int = 0


_making = threading.Lock()


class Engine(Closing):
    """Runs one model for many callers; every method may be called from any thread.

    Its worker starts with the first job and ends when the engine is closed or no longer used. A
    process forked from this one cannot use it.

    Args:
        model: the model; nothing else should run it meanwhile on a GPU. Whoever changes its
            weights calls `engine.cache.clear()`.
        token_budget: padded tokens a batch; by default those of the model's memory plan, without
            one 1,024 on CPUs and 32,768 on GPUs.
        cache_bytes: memory for the token states of recently reranked texts, and on decoders of what
            their rows begin with; by default that of the model's memory plan, without one 256 MiB;
            0 keeps none.
        cache_folder: where the states of documents are kept in files too, for tasks that put the
            document first (`Task.document_first`); None for none.
        cache_disk_bytes: bytes of those files at most.

    Attributes:
        model: the model.
        token_budget: padded tokens a batch.
        cache: token states of recently reranked texts.
        stats: what it has done so far.

    Raises:
        InputError: a budget is not positive, a cache is smaller than nothing, or its folder cannot
            be made.

    >>> engine = Engine.of(UniMoER.from_pretrained("unimoer-minilm"))  # doctest: +SKIP
    >>> engine.embed(["a text", "another"]).shape                      # doctest: +SKIP
    (2, 384)
    """

    def __init__(
        self,
        model: UniMoER,
        *,
        token_budget: int | None = None,
        cache_bytes: int | None = None,
        cache_folder: str | Path | None = None,
        cache_disk_bytes: int = _DISK_BYTES,
    ) -> None:
        plan = model.memory_plan
        if token_budget is None:
            token_budget = plan.token_budget if plan else default_token_budget(model.device)
        if cache_bytes is None:
            cache_bytes = plan.cache if plan else CACHE_BYTES
        if token_budget < 1:
            raise InputError(f"token_budget is {token_budget}: expected tokens a batch, 1 or more")
        if cache_bytes < 0:
            raise InputError(f"cache_bytes is {cache_bytes}: expected bytes, 0 for no cache")
        self.model, self.token_budget = model, token_budget
        self.cache = StateCache(cache_bytes, _disk(model, cache_folder, cache_disk_bytes))
        self.stats = EngineStats()
        self._counting = threading.Lock()
        self._worker = Worker(token_budget, count_lanes(model.device))
        weakref.finalize(self, self._worker.abandon).atexit = False  # the worker has its own

    @classmethod
    def of(cls, model: UniMoER) -> Engine:
        """The engine of a model: the same one for everybody while the model lives."""
        # Kept on the model itself: a table keyed by model would hold every model for ever,
        # since its engine does.
        with _making:
            engine: Engine | None = vars(model).get("_engine")
            if engine is None or engine.closed:
                engine = vars(model)["_engine"] = cls(model)
            return engine

    def __reduce__(self) -> tuple[Any, ...]:
        # A copied or pickled model comes without an engine; `of` makes it a new one.
        return type(None), ()

    # -- the front doors --------------------------------------------------------------------

    def embed(
        self,
        texts: Sequence[str],
        side: Side = "document",
        *,
        instruction: str | None = None,
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """L2-normalised embeddings, float32 `[n, dimensions]`; see `UniMoER.embed`."""
        return run(
            self._answer(embedding, texts, side, instruction=instruction, dimensions=dimensions)
        )

    async def aembed(
        self,
        texts: Sequence[str],
        side: Side = "document",
        *,
        instruction: str | None = None,
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """`embed` without blocking the event loop."""
        return await arun(
            self._answer(embedding, texts, side, instruction=instruction, dimensions=dimensions)
        )

    def score(
        self, query: str, documents: Sequence[str], *, task: str = "rerank", logits: bool = False
    ) -> NDArray[np.float32]:
        """Relevance of each document, float32 `[n]`; see `UniMoER.score`."""
        return run(self._answer(scoring, query, documents, task, logits=logits))

    async def ascore(
        self, query: str, documents: Sequence[str], *, task: str = "rerank", logits: bool = False
    ) -> NDArray[np.float32]:
        """`score` without blocking the event loop."""
        return await arun(self._answer(scoring, query, documents, task, logits=logits))

    def rank(
        self, query: str, documents: Sequence[str], *, logits: bool = False
    ) -> NDArray[np.float32]:
        """Scores to order results by, float32 `[n]`; see `UniMoER.rank`."""
        return run(self._answer(ranking, query, documents, logits=logits))

    async def arank(
        self, query: str, documents: Sequence[str], *, logits: bool = False
    ) -> NDArray[np.float32]:
        """`rank` without blocking the event loop."""
        return await arun(self._answer(ranking, query, documents, logits=logits))

    def read(self, question: str, passages: Sequence[str], *, task: str = "read") -> list[Reading]:
        """The best answer span of each passage; see `UniMoER.read`."""
        return run(self._answer(reading, question, passages, task))

    async def aread(
        self, question: str, passages: Sequence[str], *, task: str = "read"
    ) -> list[Reading]:
        """`read` without blocking the event loop."""
        return await arun(self._answer(reading, question, passages, task))

    def classify(
        self,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        task: str = "classify",
        logits: bool = False,
    ) -> NDArray[np.float32]:
        """Probability of each label, float32 `[n, labels]`; see `UniMoER.classify`."""
        return run(self._answer(classifying, texts, pairs, task, logits=logits))

    async def aclassify(
        self,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        task: str = "classify",
        logits: bool = False,
    ) -> NDArray[np.float32]:
        """`classify` without blocking the event loop."""
        return await arun(self._answer(classifying, texts, pairs, task, logits=logits))

    def _answer(
        self,
        make: Callable[Concatenate[UniMoER, P], Job[T]],
        *args: P.args,
        **settings: P.kwargs,
    ) -> Steps[T]:
        # Tokenising a large request takes a while too: not on the event loop.
        job = yield from apart(make, self.model, *args, **settings)
        return (yield from result(self.submit(job)))

    # -- the queue --------------------------------------------------------------------------

    def submit(self, job: Job[T]) -> Future[T]:
        """Queue a job. Cancelling the future drops what has not run yet.

        Raises:
            UnimoerError: the engine is closed, or belongs to the process this one was forked from.
        """
        self._worker.check()
        pending = Pending(job, self._forward, self.cache.get, self._worker.callbacks)
        missing = []
        for at, row in enumerate(job.rows):
            kept = self.cache.get(row)
            if kept is None:
                missing.append(at)
            else:
                pending.outputs[at] = kept
        pending.expect(missing)
        with self._counting:
            self.stats.jobs += 1
            self.stats.truncated += job.n_truncated
        if missing:
            self._worker.put(pending)
        else:
            pending.finish()
        return pending.future

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run a function of one's own on the device, alone, between two batches.

        It should be done within the time of a batch: work that takes longer, such as writing an
        answer, comes in parts. Cancelling the future drops what has not begun yet.

        Args:
            function: runs in the thread that owns the device.

        Raises:
            UnimoerError: the engine is closed, or belongs to the process this one was forked from.
        """
        return self._worker.call(function)

    def _forward(self, rows: Sequence[Row]) -> Sequence[Any]:
        """One batch, in a lane's thread."""
        kept = (self.cache,) if self.cache and self.model.share_prefixes else ()
        outputs = self.model.run(rows, *kept)
        lengths = [len(row.ids) for row in rows]
        tokens = sum(lengths)
        with self._counting:
            self.stats.batches += 1
            self.stats.rows += len(rows)
            self.stats.tokens += tokens
            self.stats.padded += tokens if self.model.unpadded else len(rows) * max(lengths)
        for row, output in zip(rows, outputs, strict=True):
            self.cache.put(row, output)
        return outputs

    @property
    def closed(self) -> bool:
        """Whether it takes no more work."""
        return self._worker.closed

    def close(self) -> None:
        """Let the worker finish what is queued, then stop it; closing twice is harmless."""
        self._worker.close()


def _disk(model: UniMoER, folder: str | Path | None, capacity: int) -> DiskStates | None:
    if folder is None:
        return None
    from unimoer_rag.engine.disk import DiskStates

    return DiskStates(Path(folder), capacity, model)
