"""`unimoer-rag experts add DOMAIN --own FOLDER`: what it shows, and says at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from unimoer_rag.cli.output import INTERRUPTED, print_json, print_note, print_text
from unimoer_rag.cli.train.display import print_own, watching
from unimoer_rag.cli.train.run import chosen_recipe, told

if TYPE_CHECKING:
    from unimoer_rag.training import Domain

__all__ = ["add_own"]


def add_own(
    name: str,
    *,
    own: Path,
    questions: Path | None,
    output: Path,
    checkpoint: str,
    recipe: str,
    settings: list[str] | None,
    seed: int,
    held_out: float,
    as_json: bool,
) -> None:
    """Train the experts of a domain, and tell what they gain."""
    from unimoer_rag.training import add_domain

    chosen = chosen_recipe(recipe, settings, seed=seed)
    with watching(chosen.optimizer.steps) as watch:
        done = add_domain(
            name,
            chosen,
            checkpoint=checkpoint,
            documents=own,
            questions=questions,
            output=output,
            held_out=held_out,
            on_progress=watch.progress,
            on_step=watch.step,
        )
    if as_json:
        print_json({**_facts(done), "checkpoint": str(output)})
    elif done.finished:
        _say(done, checkpoint, output)
    if not done.finished:
        print_note(f"interrupted, saved in {output}: run the same command to go on")
        raise typer.Exit(INTERRUPTED)


def _facts(done: Domain) -> dict[str, Any]:
    return {
        "finished": done.finished,
        "unchanged": done.unchanged,
        "pseudo_questions": done.pseudo,
        **told(done.own),
    }


def _say(done: Domain, checkpoint: str, output: Path) -> None:
    if done.own is not None:
        print_own(done.own, checkpoint)
    else:
        print_text(
            f"trained on {done.pseudo:,} sentences of the documents in place of questions; give "
            "--questions to see what it gains"
        )
    print_text(f"bit-identical to before: {', '.join(done.unchanged) or 'no other task was there'}")
    print_text(f"done: the checkpoint is in {output}; index the domain's documents with it")
