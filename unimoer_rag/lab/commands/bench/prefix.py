"""What decoders save by running shared beginnings of rows once."""

from __future__ import annotations

from typing import Annotated

import typer

from unimoer_rag.cli.output import quiet
from unimoer_rag.lab.commands.bench.display import (
    MIB,
    JsonOption,
    RoundsOption,
    give,
    new_table,
    say_run,
)

__all__ = ["prefix"]


def prefix(
    documents: Annotated[int, typer.Option(help="Documents to rerank.")] = 50,
    tokens: Annotated[int, typer.Option(help="Tokens of each.")] = 300,
    query_tokens: Annotated[int, typer.Option(help="Tokens of the query.")] = 24,
    layers: Annotated[int, typer.Option(help="Of the decoder, whose weights are random.")] = 8,
    width: Annotated[int, typer.Option(help="Of the decoder, a multiple of 128.")] = 512,
    rounds: RoundsOption = 5,
    json: JsonOption = None,
) -> None:
    """Rerank with a decoder: whole rows, the query run once, and documents kept from before."""
    quiet()
    from unimoer_rag.lab.bench.prefix import measure_prefix

    found = measure_prefix(
        documents=documents,
        tokens=tokens,
        query_tokens=query_tokens,
        layers=layers,
        width=width,
        rounds=rounds,
        on_run=say_run,
    )
    table = new_table(
        f"{documents} documents of {tokens} tokens; {found['kept_bytes'] / MIB:.0f} MiB of states",
        "",
        "seconds",
        "billion operations",
    )
    for name, facts in {**found["others"], "documents kept": found["ours"]}.items():
        table.add_row(name, f"{facts['seconds']:.3f}", f"{facts['operations'] / 1e9:.1f}")
    give(found, table, json)
