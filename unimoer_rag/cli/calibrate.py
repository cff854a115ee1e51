"""`unimoer-rag calibrate`: from which certainty of the first stage on reranking is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table

from unimoer_rag.cli.output import (
    CheckpointOption,
    Mode,
    console,
    counting,
    errors,
    print_json,
    progress_bar,
    quiet,
)
from unimoer_rag.cli.skipping import (
    DepthOption,
    IndexesOption,
    LimitOption,
    SeedOption,
    SplitOption,
    cells,
)
from unimoer_rag.cli.targets import check_target, save_json
from unimoer_rag.command_line import typed_command

if TYPE_CHECKING:
    from unimoer_rag.evaluation import Calibration

__all__ = ["calibrate"]


def calibrate(
    data: Annotated[
        list[Path], typer.Option("--data", help="A folder in the BEIR layout; again for more.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File for the thresholds; given as --rerank FILE. Without it: printed."),
    ] = None,
    split: SplitOption = None,
    modes: Annotated[
        str, typer.Option(help="First stages to calibrate, comma-separated: dense,sparse,hybrid.")
    ] = "dense",
    loss: Annotated[
        float, typer.Option(help="Share of nDCG@10 that may be lost on each data set.")
    ] = 0.005,
    depth: DepthOption = 50,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = "unimoer-minilm",
    index: IndexesOption = None,
) -> None:
    """Find out where reranking can be skipped (`--rerank auto`), on questions with judgements.

    Every question is searched for with and without reranking. What is chosen is, for each first
    stage, the lowest certainty from which skipping loses no more than `--loss` of nDCG@10 on any of
    the data sets. How that does on questions that it was not chosen on is told by
    cross-validation.
    """
    quiet()
    from unimoer_rag.data import load_limited
    from unimoer_rag.evaluation import FEW, calibrate_rerank
    from unimoer_rag.model import UniMoER

    check_target(out)
    datasets = load_limited(data, split, limit=limit, seed=seed)
    with progress_bar() as bar:
        found = calibrate_rerank(
            UniMoER.from_pretrained(checkpoint),
            datasets,
            modes=[cast("Mode", mode.strip()) for mode in modes.split(",")],
            loss=loss,
            depth=depth,
            index=index,
            seed=seed,
            on_progress=counting(bar),
        )
    thresholds = found.to_dict(typed_command())
    if out is None:
        print_json(thresholds)
    else:
        save_json(thresholds, out)
        console.print(_table(found))
    for name, n in found.few.items():
        errors.print(
            f"{name} has {n} judged questions: elsewhere, what was chosen on so few may lose "
            f"several times the share that is allowed; {FEW} and more are better",
            soft_wrap=True,
        )
    for name in found.uncalibrated:
        errors.print(f"{name}: no threshold keeps that loss, so auto cannot be used with it")


def _table(found: Calibration) -> Table:
    table = Table(title="on questions that the threshold was not chosen on (cross-validated)")
    table.add_column("data set, first stage", no_wrap=True)
    for heading in ("skipped", "nDCG@10 always", "auto", "never", "loss", "95% interval"):
        table.add_column(heading, justify="right")
    for mode, rows in found.cross_validated.items():
        for name, row in rows.items():
            table.add_row(f"{name}, {mode}", *cells(row))
    return table
