"""`unimoer-rag calibrate`: from which certainty of the first stage on reranking is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.table import Table

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import (
    columns,
    console,
    counting,
    print_json,
    print_note,
    progress_bar,
    quiet,
)
from unimoer_rag.cli.retrieval_options import CheckpointOption, Mode
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
from unimoer_rag.wording import counted

if TYPE_CHECKING:
    from unimoer_rag.evaluation import Calibration

__all__ = ["calibrate"]


@with_options
def calibrate(
    data: list[Path] = option("A folder in the BEIR layout; again for more.", default=...),
    out: Path | None = option(
        "File for the thresholds; given as --rerank FILE. Without it: printed."
    ),
    split: SplitOption = None,
    modes: str = option(
        "First stages to calibrate, comma-separated: dense,sparse,hybrid.", default="dense"
    ),
    loss: float = option("Share of nDCG@10 that may be lost on each data set.", default=0.005),
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
        print_note(
            f"{name} has {counted(n, 'judged question')}: elsewhere, what was chosen on so few may "
            f"lose several times the share that is allowed; {FEW} and more are better"
        )
    for name in found.uncalibrated:
        print_note(f"{name}: no threshold keeps that loss, so auto cannot be used with it")


def _table(found: Calibration) -> Table:
    table = Table(title="on questions that the threshold was not chosen on (cross-validated)")
    figures = ("skipped", "nDCG@10 always", "auto", "never", "loss", "95% interval")
    columns(table, "data set, first stage", *figures)
    for mode, rows in found.cross_validated.items():
        for name, row in rows.items():
            table.add_row(f"{name}, {mode}", *cells(row))
    return table
