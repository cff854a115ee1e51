"""`unimoer-rag train RECIPE` and `train resume`: runs, begun and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import INTERRUPTED, JsonFlag, print_json, print_note, print_text, quiet
from unimoer_rag.cli.train.display import Watch, first_process, print_own, watching
from unimoer_rag.errors import InputError, TrainingError

if TYPE_CHECKING:
    from unimoer_rag.training import Launch, OwnRun, Recipe

__all__ = ["COMMANDS", "RecipeArgument", "SetOption", "chosen_recipe", "resume", "run", "told"]

COMMANDS = ("run", "resume", "ls", "show", "validate")

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's name, such as minilm, or its file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE in place of the recipe's: optimizer.steps=100."),
]


@with_options
def run(
    recipe: RecipeArgument,
    data: Path | None = option("Folder of the recipe's data sets."),
    output: Path | None = option("The run's folder (runs/RECIPE)."),
    start: str | None = option("Checkpoint to begin from, in place of untrained experts."),
    seed: int | None = option("Of all that is drawn."),
    settings: SetOption = None,
    own: Path | None = option("Your documents, to train on in place of the data sets."),
    questions: Path | None = option("JSONL or CSV of questions on them."),
    track: Literal["tensorboard", "wandb"] | None = option("Send every step's numbers there too."),
    validate: bool = option(
        "Measure on the development sets under --data as it goes.", default=True
    ),
    as_json: JsonFlag = False,
) -> None:
    """Train by a recipe; `train RECIPE` does the same. Run again, or resume, to go on.

    With --own and --questions the recipe learns from your documents, by its variant RECIPE-own
    where there is one; held-out questions are measured before and after.
    """
    from unimoer_rag.training import Launch

    name = recipe if own is None else own_variant(recipe)
    chosen = chosen_recipe(name, settings, start=start, seed=seed)
    if (own is None) != (questions is None):
        raise InputError("--own and --questions go together: documents, and questions on them")
    if own is not None and data is not None:
        raise InputError("--own and --data exclude each other: your documents, or the data sets")
    if own is None and data is None:
        raise InputError("say where the data sets are: --data DIR; or --own DIR --questions FILE")
    launch = Launch(
        data=data and data.absolute(),
        own=own and own.absolute(),
        questions=questions and questions.absolute(),
        validate_sets=validate,
        track=track,
    )
    _train(chosen, launch, output or Path("runs") / _run_name(recipe), as_json=as_json)


@with_options
def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    data: Path | None = option("Where its data sets are now, if moved."),
    as_json: JsonFlag = False,
) -> None:
    """Go on with an interrupted run: its folder keeps the recipe and where the data lies."""
    from unimoer_rag.training import Launch, kept_recipe

    launch = Launch.read(folder)
    if data is not None:
        if launch.own is not None:
            raise InputError(
                f"{folder} learns from documents and has no --data: where they moved, give the "
                "command that started it, with --own and --questions as they are now"
            )
        launch = launch.model_copy(update={"data": data.absolute()})
    _train(kept_recipe(folder), launch, folder, as_json=as_json)


def chosen_recipe(
    name: str, settings: list[str] | None, *, start: str | None = None, seed: int | None = None
) -> Recipe:
    """A recipe by name or file, with what options put in the place of its own."""
    from unimoer_rag.training import find_recipe, overridden

    if name in COMMANDS:
        raise InputError(
            f"{name!r} is a command of unimoer-rag train, so it cannot name a recipe: give the "
            f"file's path (./{name}.yaml), or call the recipe otherwise"
        )
    given = {"start": start, "seed": seed}
    options = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    return overridden(find_recipe(name, also=COMMANDS), [*(settings or []), *options])


def _run_name(recipe: str) -> str:
    """What a run is called where nobody says: qwen3-0.6b is a name, and its dot no suffix's."""
    return Path(recipe).name.removesuffix(".yaml").removesuffix(".yml")


def own_variant(name: str) -> str:
    """The recipe for training on one's own documents: RECIPE-own where there is one."""
    from unimoer_rag.training import recipe_names

    variant = f"{name}-own"
    return variant if variant in recipe_names() else name


def _train(recipe: Recipe, launch: Launch, folder: Path, *, as_json: bool) -> None:
    quiet()
    with watching(recipe.optimizer.steps) as watch:
        if launch.own is not None:
            done = _on_own(recipe, launch, folder, watch)
            finished, own = done.finished, done
        else:
            finished, own = _on_sets(recipe, launch, folder, watch), None
    if first_process():
        _say_end(recipe, folder, finished, own, as_json=as_json)
    if not finished:
        raise typer.Exit(INTERRUPTED)


def _say_end(
    recipe: Recipe, folder: Path, finished: bool, own: OwnRun | None, *, as_json: bool
) -> None:
    checkpoint = folder / "checkpoint"
    if as_json:
        places = {"run": str(folder), "checkpoint": str(checkpoint)}
        print_json({"finished": finished, **places, **told(own)})
    elif finished:
        if own is not None:
            print_own(own, recipe.start or recipe.backbone)
        print_text(f"done: the checkpoint is in {checkpoint}")
    if not finished:
        print_note(f"interrupted, saved: go on with unimoer-rag train resume {folder}")


def _on_sets(recipe: Recipe, launch: Launch, folder: Path, watch: Watch) -> bool:
    from unimoer_rag.training import RunFolder, Validator, train

    if launch.data is None:
        raise TrainingError(f"{folder} does not say where its data is: give --data")
    if first_process():
        RunFolder(folder, recipe)  # refused before anything of another run's is overwritten
        launch.write(folder)
    measures = None
    if launch.validate_sets:
        measures = Validator.find(launch.data, recipe.validation_questions)
    return train(
        recipe,
        data=launch.data,
        output=folder,
        on_progress=watch.progress,
        on_step=watch.step,
        validate=measures,
        track=launch.track,
    )


def _on_own(recipe: Recipe, launch: Launch, folder: Path, watch: Watch) -> OwnRun:
    from unimoer_rag.training import train_on_own

    assert launch.own is not None
    assert launch.questions is not None
    return train_on_own(
        recipe,
        documents=launch.own,
        questions=launch.questions,
        output=folder,
        on_begin=lambda: launch.write(folder) if first_process() else None,
        on_progress=watch.progress,
        on_step=watch.step,
        track=launch.track,
    )


def told(own: OwnRun | None) -> dict[str, Any]:
    """What training on one's own documents came to, JSON-ready; nothing where it was not done."""
    if own is None:
        return {}
    report = own.data
    return {
        "questions": {
            "given": report.questions,
            "train": report.train,
            "held_out": report.dev,
            "not_found": [problem.reason for problem in report.not_found],
        },
        "unreadable": [problem.reason for problem in report.unreadable],
        "differences": own.differences,
        "judgement": own.judgement,
    }
