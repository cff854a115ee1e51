"""What `calibrate` and `bench auto` share: options, and how they tell what skipping costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "DepthOption",
    "IndexesOption",
    "LimitOption",
    "SeedOption",
    "SplitOption",
    "cells",
]

SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="Of the data, such as dev; the only one if not given."),
]
DepthOption = Annotated[
    int, typer.Option("--depth", help="Results reranked where reranking is not skipped.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", help="Only so many questions of each.")]
SeedOption = Annotated[
    int, typer.Option("--seed", help="Of the drawing of those, and of intervals.")
]
IndexesOption = Annotated[
    Path | None,
    typer.Option("--index", help="Keep the indexes in this folder, for the next time."),
]


def cells(row: Mapping[str, Any]) -> list[str]:
    """Of a table: share skipped, nDCG@10 always, auto and never, the loss and its interval.

    Args:
        row: as `Outcomes.describe` gives it.
    """
    return [
        f"{row['share_skipped']:.1%}",
        *(f"{row[key]:.4f}" for key in ("always", "auto", "never")),
        f"{row['loss']:.2%}",
        f"{row['loss_low']:.2%} to {row['loss_high']:.2%}",
    ]
