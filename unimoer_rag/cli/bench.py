"""`unimoer-rag bench`: memory and speed, side by side with what they are compared to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from unimoer_rag.cli.index import add_corpora, scan_paths
from unimoer_rag.cli.output import CheckpointOption, console, errors, quiet, write_json

__all__ = ["bench"]

bench = typer.Typer(
    name="bench",
    help="Measure memory and speed, side by side with what they are compared to.",
    no_args_is_help=True,
)

_MIB = 2**20

JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write JSON to a file, - for standard output.")
]
RoundsOption = Annotated[int, typer.Option(help="Measured runs of each side, in turns; from 5.")]
PassagesOption = Annotated[int, typer.Option(help="Passages, of 8 to 250 tokens.")]
RivalOption = Annotated[
    list[str] | None,
    typer.Option("--rival", help="A setting of the rival besides its default; again for more."),
]


def _rivals(chosen: list[str] | None) -> tuple[str, ...]:
    from unimoer_rag.benchmarks.rivals import SETTINGS
    from unimoer_rag.errors import InputError

    for name in chosen or ():
        if name not in SETTINGS:
            raise InputError(f"unknown rival {name!r}: expected one of {', '.join(SETTINGS)}")
    return tuple(SETTINGS) if chosen is None else ("default", *(set(chosen) - {"default"}))


def _say(side: str, round_: int) -> None:
    errors.print(f"{'warm-up' if not round_ else f'round {round_}'}: {side}", markup=False)


def _give(found: dict[str, Any], table: Table, json: Path | None) -> None:
    """The JSON where it was asked for, the table otherwise."""
    if json is None:
        console.print(table)
    else:
        write_json(found, json)


def _table(title: str, *headings: str) -> Table:
    """A table of names in the first column and numbers in the others."""
    table = Table(title=title)
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if at else "left")
    return table


@bench.command()
def encode(
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    rival: RivalOption = None,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Embed passages on the CPU, against sentence-transformers with the same backbone."""
    quiet()
    from unimoer_rag.benchmarks.encode import measure_encode

    found = measure_encode(
        checkpoint, passages=passages, rounds=rounds, settings=_rivals(rival), on_run=_say
    )
    _give(found, _speeds(found, "encoding"), json)


@bench.command()
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
    from unimoer_rag.benchmarks.rerank import measure_rerank

    found = measure_rerank(
        checkpoint,
        queries=queries,
        depth=depth,
        rounds=rounds,
        settings=_rivals(rival),
        on_run=_say,
    )
    _give(found, _speeds(found, "reranking"), json)


def _speeds(found: dict[str, Any], what: str) -> Table:
    from unimoer_rag.benchmarks.timing import median_ratio

    table = _table(f"{what}: medians of {found['rounds']} rounds", "", "seconds", "times ours")
    seconds = found["seconds"]
    for name in seconds:
        facts = {"ours": found["ours"], **found["others"]}.get(name, found.get("ours_seen", {}))
        times = median_ratio(seconds, name, "ours")
        table.add_row(f"{name} ({facts['setting']})", f"{facts['seconds']:.3f}", f"{times:.2f}")
    for name, reason in found["not_run"].items():
        table.add_row(f"{name}: not run, {reason}", "", "")
    return table


@bench.command()
def overhead(
    passages: PassagesOption = 500,
    rounds: RoundsOption = 5,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Run every task with its experts and without any: what routing and experts cost."""
    quiet()
    from unimoer_rag.benchmarks.overhead import measure_overhead

    found = measure_overhead(checkpoint, passages=passages, rounds=rounds, on_run=_say)
    table = _table(
        f"seconds, medians of {found['rounds']} rounds",
        "task",
        "with experts",
        "bare backbone",
        "ratio",
    )
    bare = found["others"]["bare"]["seconds"]
    for task, taken in found["ours"]["seconds"].items():
        table.add_row(task, f"{taken:.3f}", f"{bare[task]:.3f}", f"{found['by_task'][task]:.3f}")
    _give(found, table, json)


@bench.command()
def ingest(
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Index passages into a folder on the CPU, against LlamaIndex and LangChain with Qdrant."""
    quiet()
    from unimoer_rag.benchmarks.ingest import measure_ingest

    found = measure_ingest(checkpoint, passages=passages, rounds=rounds, on_run=_say)
    table = _table(
        f"ingestion: medians of {found['rounds']} rounds", "", "seconds", "passages a second"
    )
    for name, side in {"ours": found["ours"], **found["others"]}.items():
        table.add_row(name, f"{side['seconds']:.3f}", f"{side['passages_a_second']:.1f}")
    _give(found, table, json)


@bench.command()
def query(
    passages: Annotated[int, typer.Option(help="Passages in the index.")] = 100_000,
    queries: Annotated[int, typer.Option(help="Measured queries; from 5.")] = 50,
    depth: Annotated[int, typer.Option(help="Passages reranked for each.")] = 50,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Search and rerank in a large index on the CPU, against LlamaIndex with Qdrant."""
    quiet()
    from unimoer_rag.benchmarks.query import measure_query

    found = measure_query(
        checkpoint,
        passages=passages,
        queries=queries,
        depth=depth,
        on_run=lambda what: errors.print(f"{what} ..."),
    )
    table = _table(f"milliseconds a query in {found['passages']:,} passages", "", "p50", "p95")
    sides = {
        "ours": found["ours"]["milliseconds"],
        "ours, passages seen before": found["ours"]["seen"],
        **{name: side["milliseconds"] for name, side in found["others"].items()},
    }
    for name, latency in sides.items():
        table.add_row(name, f"{latency['p50']:.1f}", f"{latency['p95']:.1f}")
    _give(found, table, json)


@bench.command()
def memory(
    checkpoint: CheckpointOption = "unimoer-minilm",
    dtype: Annotated[
        Literal["float32", "bfloat16", "auto"],
        typer.Option(help="Of the weights on all sides; auto: what each library takes."),
    ] = "float32",
    embedder: Annotated[
        str | None,
        typer.Option(help="A sentence-transformers model; the checkpoint's backbone if not given."),
    ] = None,
    cross_encoder: Annotated[
        str | None,
        typer.Option(help="A cross-encoder; one of the backbone's size if not given."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Measure the memory of one model that embeds, reranks and reads against two and three models.

    Each side runs in a fresh process: ours with embedding and reranker of LlamaIndex and of
    LangChain, and reading; the pair with a sentence-transformers embedder and a cross-encoder; the
    three with a question-answering model besides.
    """
    quiet()
    from unimoer_rag.benchmarks.memory import measure_memory

    found = measure_memory(
        checkpoint,
        dtype=dtype,
        embedder=embedder,
        cross_encoder=cross_encoder,
        on_side=lambda side: errors.print(f"measuring {side} ..."),
    )
    _give(found, _memory_table(found), json)


def _memory_table(found: dict[str, Any]) -> Table:
    sides = {"ours": found["ours"], **found["others"]}
    table = _table(f"memory in MiB, {found['dtype']} weights", "", *sides)
    for name, key in (
        ("weights of all models", "model_bytes"),
        ("process, in use", "resident_in_use"),
        ("process, at its peak", "peak"),
        ("its peak above that of the libraries", "peak_added"),
    ):
        ours = found["ours"][key]
        shown = [
            f"{side[key] / _MIB:.1f}"
            + ("" if side is found["ours"] else f" ({ours / side[key]:.2f})")
            for side in sides.values()
        ]
        table.add_row(name, *shown)
    table.add_row("models", *(str(side["models"]) for side in sides.values()))
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
    json: JsonOption = None,
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
    _give(found, _concurrency_table(found), json)
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
