"""`unimoer-rag eval` of a benchmark: every set of it, and one table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from unimoer_rag.cli.evaluate_options import AskedSet, Judging, MeasuredSystem, Told, Ways
from unimoer_rag.cli.output import columns, console, counting, print_note, progress_bar
from unimoer_rag.cli.targets import save_json
from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.data import BeirDataset, Suite
    from unimoer_rag.evaluation import EvalOptions, Result, SuiteResult

__all__ = ["check_suite_options", "measure_suite"]


def check_suite_options(
    name: str,
    asked: AskedSet,
    told: Told,
    *,
    run: Path | None,
    pipeline: str | None,
    judging: Judging,
) -> None:
    """Refuse what is asked of one data set.

    Raises:
        InputError: names the option.
    """
    given = {
        "--corpus": asked.corpus,
        "--split": asked.split,
        "--run": run,
        "--run-out": told.run_out,
        "--pipeline": pipeline,
        "--html": told.html,
        "--worst": told.n_worst,
        "--ragas": judging.asked or None,
    }
    of_one = [option for option, value in given.items() if value is not None]
    if of_one:
        raise InputError(
            f"{' and '.join(of_one)} is of one data set, and {name} is several: leave it out, or "
            "name one of them"
        )


def measure_suite(
    name: str,
    asked: AskedSet,
    system: MeasuredSystem,
    options: EvalOptions,
    ways: Ways,
    told: Told,
) -> None:
    """Measure rankings on every set of a benchmark, tell each as it is done, and all in the end."""
    from unimoer_rag.data import SUITES, check_suite, open_dataset, readable_size
    from unimoer_rag.evaluation import evaluate_suite

    suite, data = SUITES[name], asked.data
    n_bytes = check_suite(suite, data=data)
    print_note(_beforehand(suite, readable_size(n_bytes) if n_bytes else ""))
    options = replace(options, parts=[part for part in options.parts if part != "answers"])
    measured = system.build(ways.dtype, reads=False)
    folder = told.results or Path(f"{name}-results")
    with progress_bar() as bar:
        show = counting(bar)

        def open_set(member: str) -> BeirDataset:
            place = None if data is None else data / member
            return open_dataset(member, data=place, on_progress=show)

        found = evaluate_suite(
            suite,
            measured,
            open_set,
            folder=folder,
            options=options,
            limit=ways.limit,
            on_progress=show,
            on_result=_note,
        )
    if told.json is not None:
        save_json(found.to_dict(), told.json)
    if told.json is None or str(told.json) != "-":
        print_suite(found)


def _beforehand(suite: Suite, size: str) -> str:
    download = f"; {size} to download" if size else ""
    return f"{suite.name}: {suite.what}{download}"


def _note(name: str, result: Result) -> None:
    from unimoer_rag.evaluation import SUITE_MEASURE

    stages = (result.means(part).get(SUITE_MEASURE) for part in ("retrieval", "rerank"))
    figures = [_cell(100 * value) for value in stages if value is not None]
    print_note(f"{name}: {SUITE_MEASURE} {', reranked '.join(figures)}")


def print_suite(found: SuiteResult) -> None:
    """The figures of each member and their mean, beside those of published systems."""
    from unimoer_rag.evaluation import SUITE_MEASURE, mean_of

    ours = {
        title: found.figures(part)
        for part, title in (("retrieval", "first stage"), ("rerank", "reranked"))
    }
    ours = {title: figures for title, figures in ours.items() if figures}
    table = Table(title=f"{_system(found)} on {found.suite.name}: {SUITE_MEASURE}, of 100")
    theirs = {each.system: each.figures for each in found.published}
    columns(table, "data set", *ours, *theirs)
    shown = [*ours.values(), *theirs.values()]
    for member in found.suite.members:
        table.add_row(member, *(_cell(figures.get(member)) for figures in shown))
    table.add_section()
    means = (mean_of(figures, found.suite) for figures in shown)
    table.add_row("mean", *map(_cell, means))
    console.print(table)
    for source in dict.fromkeys(each.source for each in found.published):
        names = ", ".join(each.system for each in found.published if each.source == source)
        print_note(f"{names}: {source}")


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.2f}"


def _system(found: SuiteResult) -> str:
    first = next(iter(found.results.values()))
    return str(first.checkpoint) if first.system == "unimoer" else first.name
