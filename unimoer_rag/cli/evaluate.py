"""`unimoer-rag eval`: a checkpoint measured on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import (
    CheckpointOption,
    ModeOption,
    console,
    progress_bar,
    quiet,
    write_json,
)

__all__ = ["evaluate_command"]


def evaluate_command(
    data: Annotated[Path, typer.Option("--data", help="A folder in the BEIR layout.")],
    split: Annotated[str, typer.Option("--split", help="Its split, such as dev or test.")] = "test",
    checkpoint: CheckpointOption = "unimoer-minilm",
    run: Annotated[
        Path | None,
        typer.Option("--run", help="A TREC run to rescore, in place of searching the corpus."),
    ] = None,
    rerank: Annotated[int, typer.Option(help="First-stage results to rerank.")] = 50,
    mode: ModeOption = "dense",
    parts: Annotated[
        str, typer.Option(help="What to measure, comma-separated.")
    ] = "retrieval,rerank,answers",
    limit: Annotated[int | None, typer.Option(help="Only so many questions.")] = None,
    seed: Annotated[
        int, typer.Option(help="Of the questions a limit keeps, and of the resampling.")
    ] = 0,
    index: Annotated[
        Path | None, typer.Option(help="Keep the index here, and use it next time.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file ('-': print).")
    ] = None,
) -> None:
    """Measure retrieval, reranking and answers on a data set."""
    from unimoer_rag.evaluation.datasets import load_beir, load_run

    dataset = load_beir(data, split)
    if limit is not None:
        dataset = dataset.limit(limit, seed)
    given = load_run(run) if run is not None else None
    quiet()
    from unimoer_rag.evaluation.evaluate import EvalOptions, evaluate
    from unimoer_rag.model.unimoer import UniMoER

    options = EvalOptions(
        parts=tuple(p.strip() for p in parts.split(",") if p.strip()),
        depth=rerank,
        mode=mode,
        index=index,
        seed=seed,
    )
    model = UniMoER.from_pretrained(checkpoint, dtype=dtype)
    with progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        result = evaluate(model, dataset, run=given, options=options, on_progress=show)
    if limit is not None:
        result["limit"] = {"questions": limit, "seed": seed}
    if json_path is None or str(json_path) != "-":
        console.print(_quality(result))
        console.print(_speed(result))
    if json_path is not None:
        write_json(result, json_path)


def _quality(result: dict[str, Any]) -> Table:
    table = Table(
        title=f"{result['checkpoint']} on {result['dataset']} {result['split']} "
        f"({result['n']} questions, {result['passages']} passages)"
    )
    _headings(table, "measure", "first stage", "95% interval", "reranked", "95% interval")
    for measure in result["retrieval"]:
        table.add_row(
            measure,
            *_mean(result, "retrieval", measure, digits=4),
            *_mean(result, "rerank", measure, digits=4),
        )
    table.add_section()
    for measure in ("em", "f1", "abstention"):
        if measure in result["answers"]:
            table.add_row(f"answers: {measure}", *_mean(result, "answers", measure, digits=2))
    return table


def _speed(result: dict[str, Any]) -> Table:
    memory = ", ".join(f"{name} {value:.0f} MB" for name, value in result["memory_mb"].items())
    table = Table(title="one call at a time, and all questions", caption=f"memory: {memory}")
    _headings(table, "stage", "p50 ms", "p95 ms", "p99 ms", "questions a second")
    times, rates = result["latency_percentiles_ms"], result["questions_per_second"]
    for name in dict.fromkeys([*times, *rates]):
        latency = [f"{times[name][p]:.1f}" if name in times else "" for p in ("p50", "p95", "p99")]
        table.add_row(name, *latency, f"{rates[name]:.1f}" if name in rates else "")
    return table


def _headings(table: Table, first: str, *others: str) -> None:
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")


def _mean(result: dict[str, Any], part: str, measure: str, *, digits: int) -> tuple[str, str]:
    """A mean and the interval around it; nothing where it was not measured."""
    if measure not in result[part]:
        return "", ""
    ends = result["intervals"][part][measure]
    interval = f"{ends['low']:.{digits}f} to {ends['high']:.{digits}f}"
    return f"{result[part][measure]:.{digits}f}", interval
