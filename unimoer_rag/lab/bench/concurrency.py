"""Clients that ask for embeddings, rankings and answers at once, against one offline batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from random import Random
from typing import Annotated, Any

import typer

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.bench import Bench, Facts, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.lab.bench.timing import (
    OnRun,
    alternate,
    percentiles,
    silent,
)
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import Job, UniMoER, embedding, ranking, reading

__all__ = ["BENCH", "measure_concurrency"]

# Texts that a client embeds, passages that it reranks, and passages that it reads, at a time.
_EMBEDDED, _RANKED, _READ = (1, 2, 8), (5, 10, 20), (1, 3)

Make = Callable[[], Job[Any]]


def measure_concurrency(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    clients: Annotated[
        list[int] | None,
        typer.Option(
            "--clients",
            help="How many there are; again for more (1, 8 and 64). Latency is compared to the "
            "first.",
        ),
    ] = None,
    calls: Annotated[int, typer.Option(help="Calls of all clients together.")] = 192,
    rounds: RoundsOption = 5,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed, rerank and read for many clients at once, against the same work in one batch.

    A client makes its calls one after the other, and waits for each answer. No token states are
    kept, so that every run does the same work.

    Returns:
        See `report`; `ratio` is the lowest of `throughput`: of each number of clients above the
        first, over that of the offline batch. `latency_ms` is of single calls, all rounds
        together, and `p95_ratio` each number's 95th percentile over the first's.

    Raises:
        InputError: there are too few rounds or calls, or no two numbers of clients.
    """
    clients = clients or [1, 8, 64]
    if len(set(clients)) < 2 or min(clients) < 1:
        raise InputError(f"clients are {clients}: expected two numbers or more, each from 1")
    if calls < max(clients):
        raise InputError(f"calls is {calls}: expected one a client or more, {max(clients)} here")
    model = UniMoER.from_pretrained(checkpoint)
    makes = _make_calls(model, calls)
    latencies: dict[int, list[float]] = {n: [] for n in clients}
    with Engine(model, cache_bytes=0) as engine:
        sides: dict[str, Callable[[], None]] = {"offline": partial(_offline, engine, makes)}
        for n in clients:
            sides[str(n)] = partial(_serve, engine, makes, n, latencies[n])
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
    medians = seconds.medians()
    # The warm-up's are not counted.
    latency = {n: percentiles(taken[calls:]) for n, taken in latencies.items()}
    throughput = {str(n): seconds.ratio("offline", str(n)) for n in clients}
    first = clients[0]
    return report(
        "concurrency",
        ratio=min(ratio for n, ratio in throughput.items() if n != str(first)),
        throughput=throughput,
        p95_ratio={
            str(n): round(latency[n]["p95"] / latency[first]["p95"], 3) for n in clients[1:]
        },
        checkpoint=checkpoint,
        calls=calls,
        rounds=rounds,
        ours={
            str(n): {"seconds": round(medians[str(n)], 3), "latency_ms": latency[n]}
            for n in clients
        },
        others={"offline": {"seconds": round(medians["offline"], 3)}},
        seconds=seconds.rounded(),
    )


def _make_calls(model: UniMoER, n: int) -> list[Make]:
    """Calls of the three kinds in turns, of sizes drawn at random, each with texts of its own."""
    choice = Random(0)
    sizes = [choice.choice((_EMBEDDED, _RANKED, _READ)[at % 3]) for at in range(n)]
    passages = iter(make_passages(model.tokenizer, sum(sizes)))
    queries = make_queries(model.tokenizer, n)
    makes: list[Make] = []
    for at, (query, size) in enumerate(zip(queries, sizes, strict=True)):
        kind, texts = at % 3, list(islice(passages, size))
        if kind == 0:
            makes.append(partial(embedding, model, texts, "document"))
        elif kind == 1:
            makes.append(partial(ranking, model, query, texts, logits=False))
        else:
            makes.append(partial(reading, model, query, texts))
    return makes


def _offline(engine: Engine, makes: Sequence[Make]) -> None:
    """All calls handed in before the first answer is awaited."""
    wait([engine.submit(make()) for make in makes])


def _serve(engine: Engine, makes: Sequence[Make], n_clients: int, latencies: list[float]) -> None:
    """The calls made by clients, each taking the next one when it has its answer."""
    with ThreadPoolExecutor(n_clients) as pool:
        latencies += pool.map(partial(_answer, engine), makes)


def _answer(engine: Engine, make: Make) -> float:
    """Seconds that one call takes, tokenizing included."""
    started = time.perf_counter()
    engine.submit(make()).result()
    return time.perf_counter() - started


def _table(found: Facts) -> Table:
    rows = [("one offline batch", f"{found['others']['offline']['seconds']:.3f}", "", "", "")]
    for n, side in found["ours"].items():
        latency = side["latency_ms"]
        rows.append(
            (
                n,
                f"{side['seconds']:.3f}",
                f"{found['throughput'][n]:.3f}",
                f"{latency['p50']:.1f}",
                f"{latency['p95']:.1f}",
            )
        )
    return Table(
        f"{found['calls']} calls, medians of {found['rounds']} rounds",
        ("clients", "seconds", "throughput over offline", "p50 ms", "p95 ms"),
        rows,
    )


BENCH = Bench(measure_concurrency, _table, quick={"calls": 12, "clients": [1, 4]})
