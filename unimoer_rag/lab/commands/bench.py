"""`unimoer-rag bench`: memory and speed, side by side with what they are compared to."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from unimoer_rag.lab.bench.bench import Bench

__all__ = ["NAMES", "bench", "open_bench"]

NAMES = (
    "encode", "rerank", "overhead", "ingest", "query", "states", "memory", "precision",
    "concurrency", "stress", "serve", "soak", "prefix", "padding", "decoder", "auto", "vectors",
    "growth", "profile", "kill", "backbones",
)  # fmt: skip
"""The benchmarks: files of `unimoer_rag.lab.bench`."""


def open_bench(name: str) -> Bench:
    """The benchmark of a file."""
    found: Bench = import_module(f"unimoer_rag.lab.bench.{name}").BENCH
    return found


class _Benches(TyperGroup):
    """Imports a benchmark where it is asked for: no other command waits for what they need."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All of them."""
        return list(NAMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of them."""
        if cmd_name not in NAMES:
            return None
        from unimoer_rag.lab.bench.bench import command

        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(command(open_bench(cmd_name)))
        return typer.main.get_command(alone)


bench = typer.Typer(
    name="bench",
    cls=_Benches,
    help="Measure memory and speed, side by side with what they are compared to.",
    no_args_is_help=True,
)
