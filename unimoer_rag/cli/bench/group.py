"""The commands of `unimoer-rag bench`."""

from __future__ import annotations

import typer

from unimoer_rag.cli.bench.concurrency import concurrency
from unimoer_rag.cli.bench.memory import memory
from unimoer_rag.cli.bench.model import encode, overhead, rerank
from unimoer_rag.cli.bench.precision import precision
from unimoer_rag.cli.bench.retrieval import ingest, query

__all__ = ["bench"]

bench = typer.Typer(
    name="bench",
    help="Measure memory and speed, side by side with what they are compared to.",
    no_args_is_help=True,
)
for command in (encode, rerank, overhead, ingest, query, memory, concurrency, precision):
    bench.command()(command)
