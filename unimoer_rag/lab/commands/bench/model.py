"""Speed of the model: encoding, reranking, many clients at once, and what the experts cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import CheckpointOption, quiet
from unimoer_rag.lab.commands.bench.display import (
    JsonOption,
    PassagesOption,
    RivalOption,
    RoundsOption,
    chosen_rivals,
    give,
    new_table,
    say_run,
)

__all__ = ["concurrency", "encode", "overhead", "rerank"]


def encode(
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    rival: RivalOption = None,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Embed passages on the CPU, against sentence-transformers with the same backbone."""
    quiet()
    from unimoer_rag.lab.bench.encode import measure_encode

    found = measure_encode(
        checkpoint, passages=passages, rounds=rounds, settings=chosen_rivals(rival), on_run=say_run
    )
    give(found, _speeds(found, "encoding"), json)


def rerank(
    queries: Annotated[int, typer.Option(help="Queries, one after the other.")] = 100,
    depth: Annotated[int, typer.Option(help="Passages a query.")] = 50,
    rounds: RoundsOption = 5,
    rival: RivalOption = None,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Rerank passages on the CPU, against a cross-encoder of the backbone's size."""
    quiet()
    from unimoer_rag.lab.bench.rerank import measure_rerank

    found = measure_rerank(
        checkpoint,
        queries=queries,
        depth=depth,
        rounds=rounds,
        settings=chosen_rivals(rival),
        on_run=say_run,
    )
    give(found, _speeds(found, "reranking"), json)


def _speeds(found: dict[str, Any], what: str) -> Table:
    from unimoer_rag.lab.bench.timing import median_ratio

    table = new_table(f"{what}: medians of {found['rounds']} rounds", "", "seconds", "times ours")
    seconds = found["seconds"]
    for name in seconds:
        facts = {"ours": found["ours"], **found["others"]}.get(name, found.get("ours_seen", {}))
        times = median_ratio(seconds, name, "ours")
        table.add_row(f"{name} ({facts['setting']})", f"{facts['seconds']:.3f}", f"{times:.2f}")
    for name, reason in found["not_run"].items():
        table.add_row(f"{name}: not run, {reason}", "", "")
    return table


def overhead(
    passages: PassagesOption = 500,
    rounds: RoundsOption = 5,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Run every task with its experts and without any: what routing and experts cost."""
    quiet()
    from unimoer_rag.lab.bench.overhead import measure_overhead

    found = measure_overhead(checkpoint, passages=passages, rounds=rounds, on_run=say_run)
    table = new_table(
        f"seconds, medians of {found['rounds']} rounds",
        "task",
        "with experts",
        "bare backbone",
        "ratio",
        "ratio, merged",
    )
    bare = found["others"]["bare"]["seconds"]
    for task, taken in found["ours"]["seconds"].items():
        merged = f"{found['merged'][task]:.3f}" if task in found["merged"] else ""
        ratio = f"{found['by_task'][task]:.3f}"
        table.add_row(task, f"{taken:.3f}", f"{bare[task]:.3f}", ratio, merged)
    give(found, table, json)


def concurrency(
    clients: Annotated[
        list[int] | None,
        typer.Option("--clients", help="How many there are; again for more (1, 8 and 64)."),
    ] = None,
    calls: Annotated[int, typer.Option(help="Calls of all clients together.")] = 192,
    rounds: RoundsOption = 5,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Embed, rerank and read for many clients at once, against the same work in one batch."""
    quiet()
    from unimoer_rag.lab.bench.concurrency import measure_concurrency

    found = measure_concurrency(
        checkpoint, clients=clients or (1, 8, 64), calls=calls, rounds=rounds, on_run=say_run
    )
    give(found, _table_of_clients(found), json)


def _table_of_clients(found: dict[str, Any]) -> Table:
    table = new_table(
        f"{found['calls']} calls, medians of {found['rounds']} rounds",
        "clients",
        "seconds",
        "throughput over offline",
        "p50 ms",
        "p95 ms",
    )
    table.add_row("one offline batch", f"{found['others']['offline']['seconds']:.3f}")
    for n, side in found["ours"].items():
        latency = (f"{side['latency_ms'][p]:.1f}" for p in ("p50", "p95"))
        table.add_row(n, f"{side['seconds']:.3f}", f"{found['throughput'][n]:.3f}", *latency)
    return table
