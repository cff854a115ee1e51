"""`unimoer-rag report`: what results of `unimoer-rag eval` say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import (
    JsonFlag,
    console,
    difference,
    print_found,
    print_json,
    print_note,
    print_piece,
    print_text,
    write_text,
)
from unimoer_rag.cli.targets import check_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unimoer_rag.evaluation import Row

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
@with_options
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="What is compared to.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="On the same questions.")],
    seed: int = option("Of the resampling.", default=0),
    as_json: JsonFlag = False,
) -> None:
    """Compare two results on the same questions: B minus A, question by question.

    Each difference has its 95% interval (paired bootstrap) and a two-sided p-value (paired
    randomisation test).
    """
    from unimoer_rag.evaluation import compare_results, load_result

    names = (str(first), str(second))
    found = compare_results(load_result(first), load_result(second), seed=seed, names=names)

    def say() -> None:
        a, b = _system(found["first"]), _system(found["second"])
        print_text(f"A: {a}, {first}\nB: {b}, {second}")
        console.print(_differences(found))

    print_found({"files": list(names), **found}, say, as_json=as_json)


@report.command()
@with_options
def table(
    results: Annotated[
        list[Path], typer.Argument(metavar="A.json B.json ...", help="On the same questions.")
    ],
    as_json: JsonFlag = False,
    markdown: bool = option("Print a Markdown table in place of text.", default=False),
) -> None:
    """Show systems side by side: quality, median latency, memory."""
    from unimoer_rag.evaluation import load_result, markdown_table, system_rows

    loaded = [load_result(path) for path in results]
    rows = system_rows(loaded, [str(path) for path in results])
    if as_json:
        first = loaded[0]
        shared = {key: getattr(first, key) for key in ("dataset", "split", "questions_sha256")}
        print_json({**shared, "systems": [asdict(row) for row in rows]})
    elif markdown:
        print_piece(f"{markdown_table(rows)}\n")
    else:
        name = f"{loaded[0].dataset} {loaded[0].split}"
        console.print(_systems(rows, f"quality on {name}", quality=True))
        console.print(_systems(rows, "median latency and memory", quality=False))
    if warm := [row.system for row in rows if not row.cold]:
        print_note(
            f"answer ms of {', '.join(warm)} is warm, as an older version timed it: what earlier "
            "questions encoded was kept, which no other time here has; measure again to compare"
        )


@report.command()
@with_options
def html(
    result: Annotated[Path, typer.Argument(metavar="A.json", help="What to show.")],
    output: Path = option("The page to write.", "--output", "-o", default=...),
) -> None:
    """Write a result as one self-contained HTML page with plots."""
    from unimoer_rag.evaluation import load_result, render_page

    check_target(output)
    write_text(render_page(load_result(result)), output)
    print_text(f"wrote {output}")


def _systems(rows: Sequence[Row], title: str, *, quality: bool) -> Table:
    from unimoer_rag.evaluation import columns_with_values

    table = Table(title=title)
    columns = [column for column in columns_with_values(rows) if column.quality is quality]
    table.add_column("system", overflow="fold")
    if quality:
        table.add_column("first stage")
        table.add_column("reranked", justify="right")
    for column in columns:
        table.add_column(column.heading, justify="right")
    for row in rows:
        stages = (row.first_stage, str(row.rerank_depth)) if quality else ()
        table.add_row(row.system, *stages, *(column.text(row) for column in columns))
    return table


def _system(measured: dict[str, Any]) -> str:
    names = dict.fromkeys(filter(None, (measured["system"], measured["checkpoint"])))
    return (
        f"{', '.join(names) or 'unnamed'}, first stage {measured['first_stage']}, "
        f"reranked {measured['rerank_depth']}"
    )


def _differences(found: dict[str, Any]) -> Table:
    table = Table(title=f"B minus A on {found['dataset']} {found['split']}")
    # Where it is narrow names and intervals go on in the next line: a figure that is cut is wrong.
    table.add_column("measure", overflow="fold")
    for heading in ("A", "B", "B - A", "95% interval", "p", "n"):
        table.add_column(heading, justify="right", no_wrap=heading != "95% interval")
    for part, measures in found["differences"].items():
        table.add_section()
        # Answers are in percent, the others in [0, 1].
        digits = 2 if part == "answers" else 4
        for measure, row in measures.items():
            table.add_row(f"{part}: {measure}", *difference(row, digits, p_digits=4))
    return table
