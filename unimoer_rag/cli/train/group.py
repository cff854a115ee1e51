"""The commands of `unimoer-rag train`."""

from __future__ import annotations

import typer

from unimoer_rag.cli.groups import RunGroup
from unimoer_rag.cli.train.look import ls, show, validate
from unimoer_rag.cli.train.run import resume, run

__all__ = ["train"]

train = typer.Typer(
    name="train",
    cls=RunGroup,
    help="Train by a recipe: `unimoer-rag train RECIPE`; resume, list, look at and check runs.",
    no_args_is_help=True,
)
for command in (run, resume, ls, show, validate):
    train.command()(command)
