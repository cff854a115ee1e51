"""Memory of one model against several."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from unimoer_rag.cli.output import CheckpointOption, errors, quiet
from unimoer_rag.lab.commands.bench.display import MIB, JsonOption, give, new_table

__all__ = ["memory"]


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
    from unimoer_rag.lab.bench.memory import measure_memory

    found = measure_memory(
        checkpoint,
        dtype=dtype,
        embedder=embedder,
        cross_encoder=cross_encoder,
        on_side=lambda side: errors.print(f"measuring {side} ..."),
    )
    give(found, _memory_table(found), json)


def _memory_table(found: dict[str, Any]) -> Table:
    sides = {"ours": found["ours"], **found["others"]}
    table = new_table(f"memory in MiB, {found['dtype']} weights", "", *sides)
    for name, key in (
        ("weights of all models", "model_bytes"),
        ("process, in use", "resident_in_use"),
        ("process, at its peak", "peak"),
        ("its peak above that of the libraries", "peak_added"),
    ):
        ours = found["ours"][key]
        shown = [
            f"{side[key] / MIB:.1f}"
            + ("" if side is found["ours"] else f" ({ours / side[key]:.2f})")
            for side in sides.values()
        ]
        table.add_row(name, *shown)
    table.add_row("models", *(str(side["models"]) for side in sides.values()))
    return table
