"""A decoder on whatever device there is."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import quiet
from unimoer_rag.lab.commands.bench.display import (
    JsonOption,
    RoundsOption,
    give,
    new_table,
    say_run,
)

__all__ = ["decoder"]


def decoder(
    size: Annotated[
        str | None,
        typer.Option(
            help="tiny, small or qwen3-0.6b; by default small on CPUs and the last elsewhere."
        ),
    ] = None,
    passages: Annotated[int, typer.Option(help="Passages to embed, of mixed lengths.")] = 128,
    tokens: Annotated[int, typer.Option(help="Tokens of the longest of them.")] = 512,
    queries: Annotated[int, typer.Option(help="Queries, one after the other.")] = 2,
    documents: Annotated[int, typer.Option(help="Documents to rerank for each.")] = 50,
    document_tokens: Annotated[int, typer.Option(help="Tokens of each document.")] = 300,
    query_tokens: Annotated[int, typer.Option(help="Tokens of each query.")] = 24,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            help="Rows a batch of the rivals, again for more; by default 32 and 8 or 128."
        ),
    ] = None,
    rounds: RoundsOption = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    json: JsonOption = None,
) -> None:
    """Embed and rerank with a random decoder, against sentence-transformers and transformers."""
    quiet()
    from unimoer_rag.lab.bench.decoder import measure_decoder

    found = measure_decoder(
        size,
        passages=passages,
        tokens=tokens,
        queries=queries,
        documents=documents,
        document_tokens=document_tokens,
        query_tokens=query_tokens,
        batches=batch or (),
        rounds=rounds,
        device=device,
        on_run=say_run,
    )
    give(found, _speeds(found), json)


def _speeds(found: dict[str, Any]) -> Table:
    from unimoer_rag.lab.bench.decoder import ENCODE, RERANK, RERANK_SEEN

    table = new_table(
        f"{found['parameters'] / 1e6:,.0f} million parameters in {found['dtype']} on "
        f"{found['device']}; a large product reaches {found['peak_tflops']:.2f} TFLOP/s",
        "",
        "seconds",
        "theirs over ours",
        "TFLOP/s",
        "utilisation",
    )
    ratios = {
        ENCODE: found["ratio"],
        RERANK: found["ratio_rerank"],
        RERANK_SEEN: found["ratio_rerank_seen"],
    }
    for name, facts in {**found["ours"], **found["others"]}.items():
        table.add_row(
            name,
            f"{facts['seconds']:.3f}",
            f"{ratios[name]:.2f}" if name in ratios else "",
            f"{facts['tflops']:.2f}" if "tflops" in facts else "",
            f"{facts['utilisation']:.0%}" if "utilisation" in facts else "",
        )
    for name, reason in found["not_run"].items():
        table.add_row(f"{name}: not run, {reason}", "", "", "", "")
    return table
