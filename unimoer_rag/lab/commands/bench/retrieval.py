"""Speed of an index: filling it, searching it, and what it keeps for reranking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.output import CheckpointOption, errors, quiet
from unimoer_rag.lab.commands.bench.display import (
    JsonOption,
    PassagesOption,
    RoundsOption,
    give,
    new_table,
    say_run,
)

__all__ = ["ingest", "query", "states"]


def ingest(
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Index passages into a folder on the CPU, against LlamaIndex and LangChain with Qdrant."""
    quiet()
    from unimoer_rag.lab.bench.ingest import measure_ingest

    found = measure_ingest(checkpoint, passages=passages, rounds=rounds, on_run=say_run)
    table = new_table(
        f"ingestion: medians of {found['rounds']} rounds", "", "seconds", "passages a second"
    )
    for name, side in {"ours": found["ours"], **found["others"]}.items():
        table.add_row(name, f"{side['seconds']:.3f}", f"{side['passages_a_second']:.1f}")
    give(found, table, json)


def query(
    passages: Annotated[int, typer.Option(help="Passages in the index.")] = 100_000,
    queries: Annotated[int, typer.Option(help="Measured queries; from 5.")] = 50,
    depth: Annotated[int, typer.Option(help="Passages reranked for each.")] = 50,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Search and rerank in a large index on the CPU, against LlamaIndex with Qdrant."""
    quiet()
    from unimoer_rag.lab.bench.query import measure_query

    found = measure_query(
        checkpoint,
        passages=passages,
        queries=queries,
        depth=depth,
        on_run=lambda what: errors.print(f"{what} ..."),
    )
    table = new_table(f"milliseconds a query in {found['passages']:,} passages", "", "p50", "p95")
    sides = {
        "ours": found["ours"]["milliseconds"],
        "ours, passages seen before": found["ours"]["seen"],
        **{name: side["milliseconds"] for name, side in found["others"].items()},
    }
    for name, latency in sides.items():
        table.add_row(name, f"{latency['p50']:.1f}", f"{latency['p95']:.1f}")
    give(found, table, json)


def states(
    data: Annotated[Path, typer.Option("--data", help="A folder in the BEIR layout.")],
    split: Annotated[str | None, typer.Option(help="Of the data set.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="First stage in the TREC format; else the best of a dense search."),
    ] = None,
    depth: Annotated[int, typer.Option(help="Candidates in the measured times.")] = 50,
    limit: Annotated[int | None, typer.Option(help="Questions, drawn at random.")] = None,
    timed: Annotated[int, typer.Option(help="Questions whose reranking is timed.")] = 10,
    rounds: RoundsOption = 5,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Rerank from token states kept in the index, against encoding the candidates."""
    quiet()
    from unimoer_rag.lab.bench.states import measure_states

    found = measure_states(
        checkpoint,
        data=data,
        split=split,
        run=run,
        depth=depth,
        limit=limit,
        timed=timed,
        rounds=rounds,
        on_run=say_run,
    )
    table = new_table(
        f"{found['questions']} questions of {found['data']}; {found['depth']} candidates",
        "",
        "bytes a passage",
        "nDCG@10",
        "ms a query",
    )
    for name, side in {**found["others"], **found["ours"]}.items():
        n_bytes = f"{side['bytes_a_passage']:,}" if "bytes_a_passage" in side else ""
        ms = f"{side['milliseconds_a_query']:.1f}"
        table.add_row(name, n_bytes, f"{side['ndcg_at_10']:.4f}", ms)
    for n, ms in found["maxsim_milliseconds"].items():
        table.add_row(f"MaxSim alone, of {n}", "", "", f"{ms:.1f}")
    give(found, table, json)
