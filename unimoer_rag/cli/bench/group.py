"""The commands of `unimoer-rag bench`."""

from __future__ import annotations

import typer

from unimoer_rag.cli.bench.auto import auto
from unimoer_rag.cli.bench.decoder import decoder
from unimoer_rag.cli.bench.kill import kill
from unimoer_rag.cli.bench.memory import memory
from unimoer_rag.cli.bench.model import concurrency, encode, overhead, rerank
from unimoer_rag.cli.bench.padding import padding
from unimoer_rag.cli.bench.precision import precision
from unimoer_rag.cli.bench.prefix import prefix
from unimoer_rag.cli.bench.profile import profile
from unimoer_rag.cli.bench.quick import with_quick
from unimoer_rag.cli.bench.retrieval import ingest, query, states
from unimoer_rag.cli.bench.stress import stress
from unimoer_rag.cli.bench.vectors import growth, vectors

__all__ = ["bench"]

bench = typer.Typer(
    name="bench",
    help="Measure memory and speed, side by side with what they are compared to.",
    no_args_is_help=True,
)
_COMMANDS = (
    encode,
    rerank,
    overhead,
    ingest,
    query,
    states,
    memory,
    precision,
    concurrency,
    stress,
    prefix,
    padding,
    decoder,
    auto,
    vectors,
    growth,
    profile,
    kill,
)
for command in _COMMANDS:
    bench.command()(with_quick(command))
