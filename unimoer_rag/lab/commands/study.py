"""`unimoer-rag study`: what routed experts buy, measured."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unimoer_rag.cli import (
    JsonFlag,
    RunGroup,
    console,
    counting,
    errors,
    print_json,
    print_piece,
    print_text,
    progress_bar,
    quiet,
    write_text,
)

if TYPE_CHECKING:
    from unimoer_rag.lab.studies.results import StudyResult

__all__ = ["study"]

_RESULTS, _RUNS = Path("results/studies"), Path("runs/studies")
_RECORDS = "runs"  # in the folder of the results
_ALL = "all"

ResultsOption = Annotated[
    Path, typer.Option("--output", help="Folder of the results, a JSON file for each study.")
]


study = typer.Typer(
    name="study",
    cls=RunGroup,
    help="Compare ways of training at equal parameters, steps and data, over several seeds.",
    no_args_is_help=True,
)


@study.callback()
def options() -> None:
    """Compare ways of training at equal parameters, steps and data, over several seeds."""


@study.command()
def ls(as_json: JsonFlag = False) -> None:
    """List the studies, what each asks, and how many models it trains for each seed."""
    from unimoer_rag.lab.studies.settings import find_study, study_names

    found = [find_study(name) for name in study_names()]
    if as_json:
        print_json(
            [{"name": s.name, "question": s.question, "variants": list(s.variants)} for s in found]
        )
        return
    table = Table()
    table.add_column("study")
    table.add_column("variants", justify="right")
    table.add_column("question", overflow="fold")
    for each in found:
        table.add_row(each.name, str(len(each.variants)), each.question)
    console.print(table)


@study.command()
def run(
    name: Annotated[str, typer.Argument(help="A study's name or file, or all.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the data sets.")],
    output: ResultsOption = _RESULTS,
    runs: Annotated[
        Path, typer.Option("--runs", help="Folder of the runs, which studies share.")
    ] = _RUNS,
    base: Annotated[
        str, typer.Option("--base", help="Recipe and development sets, in place of the study's.")
    ] = "",
    seeds: Annotated[
        str, typer.Option("--seeds", help="Such as 0,1,2; by default the base's.")
    ] = "",
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Of each run.")] = None,
    questions: Annotated[
        int | None, typer.Option("--questions", min=2, help="At most, of a development set.")
    ] = None,
    finished: Annotated[
        bool, typer.Option("--finished", help="Compare the runs that are finished, and make none.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a study; again to go on, in two terminals to share its runs between two processes.

    Finished runs leave a small record in OUTPUT/runs: with that folder, another machine goes on
    where this one stopped. `unimoer-rag study NAME` is the same.
    """
    from unimoer_rag.lab.studies.settings import find_base, find_study, study_names

    chosen = [find_study(n) for n in (study_names() if name == _ALL else [name])]
    numbers = _numbers(seeds)
    quiet()
    from unimoer_rag.lab.studies.results import save_study
    from unimoer_rag.lab.studies.runner import Budget, run_study

    for each in chosen:
        with progress_bar() as bar:
            result = run_study(
                each,
                find_base(base or each.base),
                data=data,
                runs=runs,
                records=output / _RECORDS,
                finished=finished,
                budget=Budget(seeds=numbers, steps=steps, questions=questions),
                command=_command(each.name, seeds, steps, questions),
                on_progress=counting(bar),
            )
        path = save_study(result, output)
        if as_json:
            print_json(result.model_dump(mode="json", exclude={"values"}))
        else:
            _show(result)
            print_text(f"wrote {path}")


@study.command()
def report(
    output: ResultsOption = _RESULTS,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one page of all studies there.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown tables in place of text.")
    ] = False,
) -> None:
    """Show what the studies found so far."""
    from unimoer_rag.lab.studies.report import markdown as as_markdown
    from unimoer_rag.lab.studies.report import render_studies
    from unimoer_rag.lab.studies.results import load_studies

    results = load_studies(output)
    if html is not None:
        write_text(render_studies(results), html)
        print_text(f"wrote {html}")
        return
    for result in results:
        if markdown:
            print_piece(f"## {result.title}\n\n{as_markdown(result)}\n")
        else:
            _show(result)


def _numbers(seeds: str) -> tuple[int, ...]:
    try:
        return tuple(int(seed) for seed in seeds.split(",") if seed.strip())
    except ValueError:
        raise typer.BadParameter(f"{seeds!r}: expected whole numbers such as 0,1,2") from None


def _command(name: str, seeds: str, steps: int | None, questions: int | None) -> str:
    """What repeats the study, without the folders of this machine."""
    words = ["unimoer-rag", "study", name, "--data", "DATA"]
    for option, value in (("--seeds", seeds), ("--steps", steps), ("--questions", questions)):
        words += [option, str(value)] if value else []
    return shlex.join(words)


def _show(result: StudyResult) -> None:
    from unimoer_rag.lab.studies.report.tables import comparisons, numbers, scores

    console.print(f"\n{result.title}: {result.question}", style="bold")
    for told in (scores(result, sets=False), comparisons(result), numbers(result)):
        if told.rows:
            console.print(told.rich())
    if not result.comparisons:
        errors.print("nothing is compared in this study: it looks inside checkpoints")
