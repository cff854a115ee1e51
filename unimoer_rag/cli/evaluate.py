"""`unimoer-rag eval`: a system measured on a data set."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimoer_rag.cli.evaluate_mteb import MtebTasks
from unimoer_rag.cli.evaluate_options import (
    AnsweredBy,
    AskedSet,
    Judging,
    MeasuredSystem,
    Told,
    Ways,
)
from unimoer_rag.cli.evaluate_suite import check_suite_options, measure_suite
from unimoer_rag.cli.evaluate_tables import print_result
from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import counting, errors, print_note, progress_bar, quiet
from unimoer_rag.cli.targets import save_json, save_text

if TYPE_CHECKING:
    from unimoer_rag.data import BeirDataset, Run
    from unimoer_rag.evaluation import Result, System

__all__ = ["evaluate_command"]


@with_options
def evaluate_command(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="A data set or a benchmark by name, such as nq, scifact or nanobeir."),
    ] = None,
    *,
    asked: AskedSet,
    system: MeasuredSystem,
    run: Path | None = option("A TREC run to rescore, in place of searching the corpus."),
    answered: AnsweredBy,
    ways: Ways,
    yes: bool = option("Do not ask before what takes long.", "--yes", "-y", default=False),
    told: Told,
    judging: Judging,
    tasks: MtebTasks,
) -> None:
    """Measure retrieval, reranking and answers on a data set."""
    # What is wrong is told before anything is downloaded or measured, as far as it can be seen.
    told.check()
    asked.check(name)
    tasks.check((name, asked.data, asked.corpus, asked.split, asked.own, run))
    judge = judging.judge()
    if tasks.mteb:
        tasks.measure(system.checkpoint, ways.dtype, told.json)
        return
    quiet()
    from unimoer_rag.data import SUITES, check_limit, load_run, save_run
    from unimoer_rag.evaluation import Limit, check_pipeline, configured, find_entry
    from unimoer_rag.evaluation.evaluate import evaluate

    entry = find_entry(system.system)
    system.check()  # before any data: it may have to be downloaded
    config, chat_key = answered.load(context)
    options = ways.options(config, entry.mode if answered.pipeline is None else None)
    options = replace(options, ragas=judging.asked, judge=judge, n_worst=told.worst)
    if ways.limit is not None:
        check_limit(ways.limit)
    if name is not None and name in SUITES:
        check_suite_options(name, asked, told, run=run, pipeline=answered.pipeline, judging=judging)
        measure_suite(name, asked, system, options, ways, told)
        return
    given = load_run(run) if run is not None else None
    dataset = asked.open(name, system, given)
    if ways.limit is not None:
        dataset = dataset.limit(ways.limit, ways.seed)
    reads = "answers" in options.parts and bool(dataset.golds) and not entry.reads
    measured = system.build(ways.dtype, reads=reads)
    if answered.pipeline is not None:
        check_pipeline(measured)
    if given is None and (ways.index is None or not ways.index.exists()):
        _ask_whether(measured, dataset, options.mode, known=name, yes=yes)
    pipeline = None if answered.pipeline is None else configured(config, chat_key=chat_key)
    ranking: Run = {}
    with progress_bar() as bar:
        result = evaluate(
            measured,
            dataset,
            run=given,
            options=options,
            pipeline=pipeline,
            on_progress=counting(bar),
            on_ranked=ranking.update,
        )
    if pipeline is not None:
        result = replace(result, pipeline=config.model_dump(mode="json", exclude={"retrieve"}))
    if ways.limit is not None:
        result = replace(result, limit=Limit(questions=ways.limit, seed=ways.seed))
    if told.run_out is not None:
        told.run_out.parent.mkdir(parents=True, exist_ok=True)
        save_run(ranking, told.run_out)
    _tell(result, told)


def _tell(result: Result, told: Told) -> None:
    """Write the files that were asked for, then print: what fails last loses nothing."""
    if told.json is not None:
        save_json(result.to_dict(), told.json)
    if told.html is not None:
        from unimoer_rag.evaluation import render_page

        save_text(render_page(result), told.html)
    if told.json is None or str(told.json) != "-":
        print_result(result)
    if result.ragas_error is not None:
        print_note(f"ragas judged nothing: {result.ragas_error}")
        raise typer.Exit(1)


def _ask_whether(
    system: System, dataset: BeirDataset, first_stage: str, *, known: str | None, yes: bool
) -> None:
    """Say how long a large corpus takes, and on a terminal ask whether it may.

    Raises:
        typer.Exit: it may not.
    """
    from unimoer_rag.evaluation import LARGE, estimate_indexing

    if len(dataset.corpus) < LARGE:
        return
    small = "; nq-small takes minutes" if known == "nq" else ""
    print_note(
        f"{estimate_indexing(system, dataset, first_stage=first_stage)} on this machine; --limit "
        f"keeps all of them, --index FOLDER keeps the index for the next time{small}"
    )
    asked = _on_terminal() and not yes
    if asked and not typer.confirm("Go on?", default=True, err=True):
        raise typer.Exit(1)


def _on_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and errors.is_terminal
