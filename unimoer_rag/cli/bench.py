"""`unimoer-rag bench`: memory and speed, side by side with what they are compared to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from unimoer_rag.cli.index import add_corpora, scan_paths
from unimoer_rag.cli.output import CheckpointOption, JsonFlag, console, errors, print_json, quiet

__all__ = ["bench"]

bench = typer.Typer(
    name="bench",
    help="Measure memory and speed, side by side with what they are compared to.",
    no_args_is_help=True,
)

_MIB = 2**20


@bench.command()
def sharing(
    checkpoint: CheckpointOption = "unimoer-minilm",
    dtype: Annotated[
        Literal["float32", "bfloat16", "auto"],
        typer.Option(help="Of the weights on both sides; auto: what each library takes."),
    ] = "float32",
    embedder: Annotated[
        str | None,
        typer.Option(help="A sentence-transformers model; the checkpoint's backbone if not given."),
    ] = None,
    cross_encoder: Annotated[
        str | None,
        typer.Option(help="A cross-encoder; one of the backbone's size if not given."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure the memory of one shared model against an embedder and a cross-encoder.

    Each side runs in a fresh process: ours with embedding and reranker of LlamaIndex and of
    LangChain, the other with a sentence-transformers embedder and a cross-encoder.
    """
    quiet()
    from unimoer_rag.benchmarks.sharing import measure_sharing

    found = measure_sharing(
        checkpoint,
        dtype=dtype,
        embedder=embedder,
        cross_encoder=cross_encoder,
        on_side=lambda side: errors.print(f"measuring {side} ..."),
    )
    if as_json:
        print_json(found)
        return
    console.print(_sharing_table(found))


def _sharing_table(found: dict[str, Any]) -> Table:
    table = Table(title=f"memory in MiB, {found['dtype']} weights")
    for heading in ("", "ours", "the pair", "ratio"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, key in (
        ("weights of all models", "model_bytes"),
        ("process, in use", "resident_in_use"),
        ("process, at its peak", "peak"),
    ):
        ours, pair = found["ours"][key], found["pair"][key]
        table.add_row(name, f"{ours / _MIB:.1f}", f"{pair / _MIB:.1f}", f"{ours / pair:.3f}")
    table.add_row("models", str(found["ours"]["models"]), str(found["pair"]["models"]), "")
    return table


@bench.command()
def concurrency(
    docs: Annotated[list[Path], typer.Argument(help="Documents to search; 20 passages or more.")],
    seconds: Annotated[float, typer.Option(help="How long clients begin new calls.")] = 30.0,
    warm_up: Annotated[float, typer.Option(help="How long they do so before, unmeasured.")] = 30.0,
    threads: Annotated[int, typer.Option(help="Clients that block a thread.")] = 64,
    coroutines: Annotated[int, typer.Option(help="Clients that share an event loop.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the clients' choices.")] = 0,
    checkpoint: CheckpointOption = "unimoer-minilm",
    as_json: JsonFlag = False,
) -> None:
    """Embed, rerank and search from many threads and coroutines at once, and check every answer.

    Afterwards the same calls are made one after the other: the ratio compares the throughputs, and
    the exit code is 1 if any answer differs. Weights are float32, in which an answer does not
    depend on what shares its batch.
    """
    quiet()
    corpora = scan_paths(docs)
    from unimoer_rag.benchmarks.concurrency import measure_concurrency
    from unimoer_rag.retrieval.retriever import UnifiedRetriever

    with UnifiedRetriever(checkpoint, dtype="float32") as retriever:
        add_corpora(retriever, corpora)
        errors.print(f"{warm_up:g} s to warm up, {seconds:g} s of clients, then their calls alone")
        found = measure_concurrency(
            retriever,
            seconds=seconds,
            warm_up=warm_up,
            n_threads=threads,
            n_coroutines=coroutines,
            seed=seed,
        )
    if as_json:
        print_json(found)
    else:
        console.print(_concurrency_table(found))
    if found["wrong"]:
        raise typer.Exit(1)


def _concurrency_table(found: dict[str, Any]) -> Table:
    table = Table(
        title=f"{found['threads']} threads and {found['coroutines']} coroutines", show_header=False
    )
    rates = [found["calls"] / found[key] for key in ("seconds", "seconds_one_by_one")]
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found["calls_by_kind"].items()))
    latency = ", ".join(f"{name} {ms:.0f} ms" for name, ms in found["latency_ms"].items())
    table.add_row("calls answered", f"{found['calls']} ({kinds})")
    table.add_row("wrong answers", str(found["wrong"]))
    table.add_row("given up by their caller", str(found["given_up"]))
    table.add_row("calls a second", f"{rates[0]:.1f}; one by one {rates[1]:.1f}")
    table.add_row("throughput ratio", f"{found['ratio']:.3f}")
    table.add_row("latency", latency)
    sampled = (found["resident_first"], *found["resident_quarters"], found["resident_last"])
    shown = " ".join(f"{b / _MIB:.0f}" for b in sampled)
    table.add_row("process, MiB over time", f"{shown} ({found['growth']:+.1%})")
    return table
