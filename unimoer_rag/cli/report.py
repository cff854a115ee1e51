"""`unimoer-rag report`: what results of `unimoer-rag eval` say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import JsonFlag, console, print_json, print_text

__all__ = ["report"]

report = typer.Typer(
    name="report",
    help="Read and compare the results that `unimoer-rag eval --json` wrote.",
    no_args_is_help=True,
)


@report.callback()
def options() -> None:
    """Read and compare the results that `unimoer-rag eval --json` wrote."""


@report.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="What is compared to.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="On the same questions.")],
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Compare two results on the same questions: B minus A, question by question.

    Each difference has its 95% interval (paired bootstrap) and a two-sided p-value (paired
    randomisation test).
    """
    from unimoer_rag.evaluation.compare import compare_results, load_result

    found = compare_results(load_result(first), load_result(second), seed=seed)
    if as_json:
        print_json({"files": [str(first), str(second)], **found})
        return
    print_text(f"A: {_system(found['first'])}, {first}\nB: {_system(found['second'])}, {second}")
    console.print(_table(found))


def _system(measured: dict[str, Any]) -> str:
    return (
        f"{measured['checkpoint']}, first stage {measured['first_stage']}, "
        f"reranked {measured['rerank_depth']}"
    )


def _table(found: dict[str, Any]) -> Table:
    table = Table(title=f"B minus A on {found['dataset']} {found['split']}")
    table.add_column("measure")
    for heading in ("A", "B", "B - A", "95% interval", "p", "n"):
        table.add_column(heading, justify="right")
    for part, measures in found["differences"].items():
        table.add_section()
        # Answers are in percent, the others in [0, 1].
        digits = 2 if part == "answers" else 4
        for measure, row in measures.items():
            table.add_row(
                f"{part}: {measure}",
                f"{row['first']:.{digits}f}",
                f"{row['second']:.{digits}f}",
                f"{row['difference']:+.{digits}f}",
                f"{row['low']:+.{digits}f} to {row['high']:+.{digits}f}",
                f"{row['p_value']:.4f}",
                str(row["n"]),
            )
    return table
