"""What reranking only where it is needed skips and loses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.bench.display import JsonOption, give, new_table
from unimoer_rag.cli.output import CheckpointOption, ModeOption, counting, progress_bar, quiet

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
    depth: Annotated[int, typer.Option(help="First-stage results that are reranked.")] = 50,
    split: Annotated[
        str | None, typer.Option(help="Of the data, such as dev; the only one if not given.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many questions of each.")] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing of those, and of intervals.")] = 0,
    checkpoint: CheckpointOption = "unimoer-minilm",
    index: Annotated[
        Path | None, typer.Option(help="Keep the indexes in this folder, for the next time.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Measure what `rerank auto` skips, and what it loses, on sets it was not calibrated on."""
    quiet()
    from unimoer_rag.benchmarks.auto import measure_auto
    from unimoer_rag.evaluation.datasets import load_limited

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
            table.add_row(
                name if part == "held_out" else f"{name} (cross-validated)",
                str(row["questions"]),
                f"{row['share_skipped']:.1%}",
                *(f"{row[key]:.4f}" for key in ("always", "auto", "never")),
                f"{row['loss']:.2%}",
                f"{row['loss_low']:.2%} to {row['loss_high']:.2%}",
            )
    give(found, table, json)
