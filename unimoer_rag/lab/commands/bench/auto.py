"""What reranking only where it is needed skips and loses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.output import CheckpointOption, ModeOption, counting, progress_bar, quiet
from unimoer_rag.cli.skipping import (
    DepthOption,
    IndexesOption,
    LimitOption,
    SeedOption,
    SplitOption,
    cells,
)
from unimoer_rag.lab.commands.bench.display import JsonOption, give, new_table

__all__ = ["auto"]


def auto(
    data: Annotated[
        list[Path], typer.Option("--data", help="BEIR folder to try it on; again for more.")
    ],
    dev: Annotated[
        list[Path] | None,
        typer.Option(
            "--dev",
            help="BEIR folder to choose the threshold on, again for more; the checkpoint's own "
            "threshold if not given.",
        ),
    ] = None,
    mode: ModeOption = "dense",
    loss: Annotated[
        float, typer.Option(help="Share of nDCG@10 that may be lost on each set of --dev.")
    ] = 0.005,
    depth: DepthOption = 50,
    split: SplitOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = "unimoer-minilm",
    index: IndexesOption = None,
    json: JsonOption = None,
) -> None:
    """Measure what `rerank auto` skips, and what it loses, on sets it was not calibrated on."""
    quiet()
    from unimoer_rag.data import load_limited
    from unimoer_rag.lab.bench.auto import measure_auto

    with progress_bar() as bar:
        found = measure_auto(
            checkpoint,
            load_limited(data, split, limit=limit, seed=seed),
            development=load_limited(dev or [], split, limit=limit, seed=seed),
            mode=mode,
            loss=loss,
            depth=depth,
            index=index,
            seed=seed,
            on_progress=counting(bar),
        )
    headings = ("", "questions", "skipped", "always", "auto", "never", "loss", "95% interval")
    table = new_table("nDCG@10 with reranking always, where it is needed, and never", *headings)
    for part in ("development", "held_out"):
        for name, row in found[part].items():
            told = name if part == "held_out" else f"{name} (cross-validated)"
            table.add_row(told, str(row["questions"]), *cells(row))
    give(found, table, json)
