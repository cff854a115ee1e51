"""Many callers at once: are their answers right, and does it cost throughput?

Threads and coroutines embed, rerank and search on one engine, all at once, and some coroutines give
up before they are answered. Then the calls that were answered are made again, one after the other.
A warm-up goes before, in which the memory allocator takes what it will keep.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from unimoer_rag.cli import CheckpointOption, add_corpora, scan_paths
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.calls import Call, make_call
from unimoer_rag.lab.bench.process import resident
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.timing import OnRun, percentiles, silent
from unimoer_rag.lab.tables import Table
from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["BENCH", "measure_stress"]

# Seconds without any answer that count as a deadlock.
_SILENCE = 60.0
# The share of the coroutines' calls that is given up, and how soon at most, in seconds.
_GIVEN_UP, _PATIENCE = 0.05, 0.05


@dataclass(frozen=True, slots=True)
class _Answered:
    """A call with its answer, and the seconds it took."""

    call: Call
    answer: Any
    seconds: float


@dataclass(slots=True)
class _Clients:
    """The clients of one run, what they do and what they got.

    Attributes:
        retriever: what they use.
        texts: what they make calls of.
        seed: of their choices.
        answered: calls in order of their answers; every client appends, which is atomic.
        given_up: calls cancelled by their caller.
        errors: what ended a client.
    """

    retriever: UnifiedRetriever
    texts: Sequence[str]
    seed: int
    deadline: float = 0.0
    answered: list[_Answered] = field(default_factory=list)
    given_up: int = 0
    errors: list[BaseException] = field(default_factory=list)

    def run(self, n_threads: int, n_coroutines: int, seconds: float) -> list[int]:
        """Let them begin calls for some seconds; gives the memory sampled until the last ended."""
        self.deadline = time.perf_counter() + seconds
        work: list[Callable[[int], None]] = [self._block] * n_threads
        if n_coroutines:
            work.append(lambda first: asyncio.run(self._await(first, n_coroutines)))
        threads = [
            threading.Thread(target=self._guard, args=(does, client), daemon=True)
            for client, does in enumerate(work)
        ]
        for thread in threads:
            thread.start()
        memory = self._watch(threads)
        if self.errors:
            raise self.errors[0]
        return memory

    def _calls(self, choice: Random) -> Iterator[Call]:
        while time.perf_counter() < self.deadline:
            yield make_call(self.retriever, self.texts, choice)

    def _block(self, client: int) -> None:
        """A client in a thread of its own."""
        for call in self._calls(Random(f"{self.seed}/{client}")):
            since = time.perf_counter()
            answer = call.run()
            self.answered.append(_Answered(call, answer, time.perf_counter() - since))

    async def _await(self, first: int, n: int) -> None:
        """Clients that share an event loop."""
        await asyncio.gather(*(self._coroutine(first + client) for client in range(n)))

    async def _coroutine(self, client: int) -> None:
        choice = Random(f"{self.seed}/{client}")
        for call in self._calls(choice):
            patience = choice.uniform(0, _PATIENCE) if choice.random() < _GIVEN_UP else None
            since = time.perf_counter()
            try:
                async with asyncio.timeout(patience):
                    answer = await call.arun()
            except TimeoutError:
                self.given_up += 1
            else:
                self.answered.append(_Answered(call, answer, time.perf_counter() - since))

    def _guard(self, does: Callable[[int], None], client: int) -> None:
        try:
            does(client)
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            self.errors.append(error)

    def _watch(self, threads: Sequence[threading.Thread]) -> list[int]:
        memory, n_answered, heard = [resident()], 0, time.perf_counter()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.05)
            memory.append(resident())
            if len(self.answered) > n_answered:
                n_answered, heard = len(self.answered), time.perf_counter()
            elif time.perf_counter() - heard > _SILENCE:
                alive = sum(thread.is_alive() for thread in threads)
                raise UnimoerError(
                    f"deadlock: {alive} clients wait, and none got an answer for {_SILENCE:g} s"
                )
        return memory


def measure_stress(
    retriever: UnifiedRetriever,
    *,
    seconds: float = 30.0,
    warm_up: float = 30.0,
    n_threads: int = 64,
    n_coroutines: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """Run clients for a while, then their calls one after the other.

    Args:
        retriever: holds at least 20 passages; its model should be in float32, in which answers
            do not depend on what shares their batch (but for the last bits).
        seconds: how long clients begin new calls.
        warm_up: how long other clients do so before, unmeasured.
        n_threads: clients that block a thread.
        n_coroutines: clients that share an event loop.
        seed: of the clients' choices.

    Returns:
        See `report`. `ratio`: throughput of the clients over that of the same calls made one after
        the other; `wrong`: answers that are not those of the same calls made alone; `growth`:
        resident memory at the end over that at the beginning, less 1; numbers of calls, latencies
        in milliseconds, resident memory in bytes, and how much of it the engine's cache took.

    Raises:
        InputError: there are too few passages, no clients, or no time.
        UnimoerError: no client was answered for a minute.
    """
    texts = [passage.content for passage in retriever.store.scroll()]
    if len(texts) < 20:
        raise InputError(f"the index holds {len(texts)} passages: expected at least 20 to ask for")
    if n_threads < 0 or n_coroutines < 0 or not n_threads + n_coroutines or seconds <= 0:
        raise InputError(
            f"threads, coroutines, seconds are {n_threads}, {n_coroutines}, {seconds:g}: expected "
            "some client and some time"
        )
    engine, clients = retriever.engine, _Clients(retriever, texts, seed)
    _Clients(retriever, texts, seed + 1).run(n_threads, n_coroutines, warm_up)
    _know(engine, texts)
    kept = engine.cache.nbytes
    started = time.perf_counter()
    memory = clients.run(n_threads, n_coroutines, seconds)
    together = time.perf_counter() - started
    kept = engine.cache.nbytes - kept
    _know(engine, texts)
    started = time.perf_counter()
    expected = [done.call.run() for done in clients.answered]
    alone = time.perf_counter() - started
    wrong = [
        done.call.kind
        for done, right in zip(clients.answered, expected, strict=True)
        if not done.call.same(done.answer, right)
    ]
    return report(
        "stress",
        ratio=round(alone / together, 4),
        wrong=len(wrong),
        wrong_by_kind=dict(Counter(wrong)),
        threads=n_threads,
        coroutines=n_coroutines,
        calls=len(clients.answered),
        calls_by_kind=dict(Counter(done.call.kind for done in clients.answered)),
        given_up=clients.given_up,
        growth=round(memory[-1] / memory[0] - 1, 4),
        resident_first=memory[0],
        resident_quarters=[memory[at * len(memory) // 4] for at in (1, 2, 3)],
        resident_last=memory[-1],
        cached_meanwhile=kept,
        ours={"seconds": round(together, 2), "latency_ms": _latency(clients.answered)},
        others={"one by one": {"seconds": round(alone, 2)}},
    )


def _know(engine: Engine, texts: Sequence[str]) -> None:
    """Let the engine's cache hold the passages and nothing else, as both sides begin."""
    engine.cache.clear()
    engine.rank("a query", texts)


def _latency(answered: Sequence[_Answered]) -> dict[str, float]:
    taken = [done.seconds for done in answered]
    return percentiles(taken, (50, 95, 99)) if taken else {}


def _run(
    docs: Annotated[list[Path], typer.Argument(help="Documents to search; 20 passages or more.")],
    *,
    seconds: Annotated[float, typer.Option(help="How long clients begin new calls.")] = 30.0,
    warm_up: Annotated[float, typer.Option(help="How long they do so before, unmeasured.")] = 30.0,
    threads: Annotated[int, typer.Option(help="Clients that block a thread.")] = 64,
    coroutines: Annotated[int, typer.Option(help="Clients that share an event loop.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the clients' choices.")] = 0,
    checkpoint: CheckpointOption = "unimoer-minilm",
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed, rerank and search from many threads and coroutines at once, and check every answer.

    Afterwards the same calls are made one after the other: the ratio compares the throughputs, and
    the exit code is 1 if any answer differs. Weights are float32, in which an answer does not
    depend on what shares its batch.
    """
    corpora = scan_paths(docs)
    with UnifiedRetriever(checkpoint, dtype="float32") as retriever:
        add_corpora(retriever, corpora)
        on_run(f"{warm_up:g} s to warm up, {seconds:g} s of clients, then their calls alone")
        return measure_stress(
            retriever,
            seconds=seconds,
            warm_up=warm_up,
            n_threads=threads,
            n_coroutines=coroutines,
            seed=seed,
        )


def _table(found: Facts) -> Table:
    sides = (found["ours"], found["others"]["one by one"])
    rates = [found["calls"] / side["seconds"] for side in sides]
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found["calls_by_kind"].items()))
    latency = ", ".join(f"{name} {ms:.0f} ms" for name, ms in found["ours"]["latency_ms"].items())
    sampled = (found["resident_first"], *found["resident_quarters"], found["resident_last"])
    memory = " ".join(f"{resident / 2**20:.0f}" for resident in sampled)
    return Table(
        f"{found['threads']} threads and {found['coroutines']} coroutines",
        ("", "found"),
        [
            ("calls answered", f"{found['calls']} ({kinds})"),
            ("wrong answers", str(found["wrong"])),
            ("given up by their caller", str(found["given_up"])),
            ("calls a second", f"{rates[0]:.1f}; one by one {rates[1]:.1f}"),
            ("throughput ratio", f"{found['ratio']:.3f}"),
            ("latency", latency),
            ("process, MiB over time", f"{memory} ({found['growth']:+.1%})"),
        ],
    )


BENCH = Bench(
    _run,
    _table,
    quick={"seconds": 3.0, "warm_up": 2.0, "threads": 4, "coroutines": 4},
    failed=lambda found: bool(found["wrong"]),
)
