"""The commands of `unimoer-rag bench`."""

from __future__ import annotations

import typer

from unimoer_rag.lab.commands.bench.auto import auto
from unimoer_rag.lab.commands.bench.decoder import decoder
from unimoer_rag.lab.commands.bench.kill import kill
from unimoer_rag.lab.commands.bench.memory import memory
from unimoer_rag.lab.commands.bench.model import concurrency, encode, overhead, rerank
from unimoer_rag.lab.commands.bench.padding import padding
from unimoer_rag.lab.commands.bench.precision import precision
from unimoer_rag.lab.commands.bench.prefix import prefix
from unimoer_rag.lab.commands.bench.profile import profile
from unimoer_rag.lab.commands.bench.quick import with_quick
from unimoer_rag.lab.commands.bench.retrieval import ingest, query, states
from unimoer_rag.lab.commands.bench.stress import stress
from unimoer_rag.lab.commands.bench.vectors import growth, vectors

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
