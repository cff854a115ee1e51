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
    seed: Annotated[int, typer.Option(help="Which questions a limit keeps.")] = 0,
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
        console.print(_table(result))
    if json_path is not None:
        write_json(result, json_path)


def _table(result: dict[str, Any]) -> Table:
    table = Table(
        title=f"{result['checkpoint']} on {result['dataset']} {result['split']} "
        f"({result['n']} questions, {result['passages']} passages)"
    )
    table.add_column("measure")
    table.add_column("first stage", justify="right")
    table.add_column("reranked", justify="right")
    for measure, value in result["retrieval"].items():
        reranked = result["rerank"].get(measure)
        table.add_row(measure, f"{value:.4f}", "" if reranked is None else f"{reranked:.4f}")
    answers = result["answers"]
    if answers:
        table.add_section()
        for measure in ("em", "f1"):
            table.add_row(f"answers: {measure}", f"{answers[measure]:.2f}", "")
    table.add_section()
    for name, value in result["latency_ms"].items():
        table.add_row(f"{name}, median ms", f"{value:.1f}", "")
    for name, value in result["memory_mb"].items():
        table.add_row(f"memory {name}, MB", f"{value:.0f}", "")
    return table
