"""`unimoer-rag train`: a checkpoint from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from unimoer_rag.cli.output import (
    INTERRUPTED,
    JsonFlag,
    errors,
    print_json,
    print_text,
    progress_bar,
    quiet,
)

__all__ = ["train_command"]


def train_command(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, such as minilm, or its file.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the recipe's data sets.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="The run's folder (runs/RECIPE).")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="Checkpoint to begin from, in place of untrained experts."),
    ] = None,
    validate: Annotated[
        bool, typer.Option(help="Measure on the development sets under --data as it goes.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Train the experts, router and heads of a recipe; run again to resume."""
    from unimoer_rag.training.recipe import find_recipe

    chosen = find_recipe(recipe)
    if start is not None:
        chosen = chosen.model_copy(update={"start": start})
    folder = output or Path("runs") / Path(recipe).stem
    quiet()
    from unimoer_rag.training.run import train
    from unimoer_rag.training.validate import Validator

    validator = Validator.find(data, chosen.validation_questions) if validate else None
    with progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        def step(report: dict[str, Any]) -> None:
            show("training", report["step"], chosen.optimizer.steps)
            losses = "  ".join(f"{name} {value:.3f}" for name, value in report["losses"].items())
            if report["step"] % 50 == 0:
                errors.print(f"step {report['step']}: {losses}", highlight=False)
            if "validation" in report:
                errors.print(f"validation: {report['validation']}")

        done = train(
            chosen,
            data=data,
            output=folder,
            on_progress=show,
            on_step=step,
            validate=validator,
        )
    checkpoint = folder / "checkpoint"
    if as_json:
        print_json({"finished": done, "checkpoint": str(checkpoint), "log": str(folder)})
    elif done:
        print_text(f"done: the checkpoint is in {checkpoint}")
    else:
        errors.print(
            Text(f"interrupted, saved in {folder}: run the same command to go on"), soft_wrap=True
        )
    if not done:
        raise typer.Exit(INTERRUPTED)
