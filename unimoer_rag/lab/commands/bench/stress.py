"""Many clients at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.index import add_corpora, scan_paths
from unimoer_rag.cli.output import CheckpointOption, errors, quiet
from unimoer_rag.lab.commands.bench.display import MIB, JsonOption, give

__all__ = ["stress"]


def stress(
    docs: Annotated[list[Path], typer.Argument(help="Documents to search; 20 passages or more.")],
    seconds: Annotated[float, typer.Option(help="How long clients begin new calls.")] = 30.0,
    warm_up: Annotated[float, typer.Option(help="How long they do so before, unmeasured.")] = 30.0,
    threads: Annotated[int, typer.Option(help="Clients that block a thread.")] = 64,
    coroutines: Annotated[int, typer.Option(help="Clients that share an event loop.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the clients' choices.")] = 0,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Embed, rerank and search from many threads and coroutines at once, and check every answer.

    Afterwards the same calls are made one after the other: the ratio compares the throughputs, and
    the exit code is 1 if any answer differs. Weights are float32, in which an answer does not
    depend on what shares its batch.
    """
    quiet()
    corpora = scan_paths(docs)
    from unimoer_rag.lab.bench.stress import measure_stress
    from unimoer_rag.retrieval import UnifiedRetriever

    with UnifiedRetriever(checkpoint, dtype="float32") as retriever:
        add_corpora(retriever, corpora)
        errors.print(f"{warm_up:g} s to warm up, {seconds:g} s of clients, then their calls alone")
        found = measure_stress(
            retriever,
            seconds=seconds,
            warm_up=warm_up,
            n_threads=threads,
            n_coroutines=coroutines,
            seed=seed,
        )
    give(found, _stress_table(found), json)
    if found["wrong"]:
        raise typer.Exit(1)


def _stress_table(found: dict[str, Any]) -> Table:
    table = Table(
        title=f"{found['threads']} threads and {found['coroutines']} coroutines", show_header=False
    )
    sides = (found["ours"], found["others"]["one by one"])
    rates = [found["calls"] / side["seconds"] for side in sides]
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found["calls_by_kind"].items()))
    latency = ", ".join(f"{name} {ms:.0f} ms" for name, ms in found["ours"]["latency_ms"].items())
    table.add_row("calls answered", f"{found['calls']} ({kinds})")
    table.add_row("wrong answers", str(found["wrong"]))
    table.add_row("given up by their caller", str(found["given_up"]))
    table.add_row("calls a second", f"{rates[0]:.1f}; one by one {rates[1]:.1f}")
    table.add_row("throughput ratio", f"{found['ratio']:.3f}")
    table.add_row("latency", latency)
    sampled = (found["resident_first"], *found["resident_quarters"], found["resident_last"])
    shown = " ".join(f"{b / MIB:.0f}" for b in sampled)
    table.add_row("process, MiB over time", f"{shown} ({found['growth']:+.1%})")
    return table
