"""Fit a checkpoint's confidence, and choose the doubt from which its reader abstains.

python scripts/calibrate_reader.py --checkpoint CHECKPOINT --data DIR/squad2-dev --output OUT

With `--fit DIR/nq-qed` the confidence is fitted first, on questions that have answers, each asked
of its own passage and of a mined one that does not answer: what a search finds. The doubt is chosen
on unanswerable questions that people wrote.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.output import errors, quiet
from unimoer_rag.data import load_beir
from unimoer_rag.model import UniMoER
from unimoer_rag.training.calibrate import calibrate_confidence, calibrate_reader, with_mined

QUESTIONS = 2000


def main(
    checkpoint: Annotated[str, typer.Option(help="The trained checkpoint.")],
    data: Annotated[Path, typer.Option(help="A set with unanswerable questions, split dev.")],
    output: Annotated[Path, typer.Option(help="Where the calibrated checkpoint goes.")],
    fit: Annotated[Path | None, typer.Option(help="A set to fit the confidence on.")] = None,
    questions: Annotated[int, typer.Option(help="Questions to look at.")] = QUESTIONS,
) -> None:
    """Calibrate and save."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    if fit is not None:
        with tempfile.TemporaryDirectory() as cache:
            asked = with_mined(load_beir(fit, "dev"), cache=Path(cache))
        slope, shift = calibrate_confidence(model, asked)
        errors.print(f"margins became {slope:.3f} times what they were, and {shift:+.3f}")
    threshold = calibrate_reader(model, load_beir(data, "dev").limit(questions))
    model.save_pretrained(output)
    errors.print(f"abstains from a doubt of {threshold:.3f}")


if __name__ == "__main__":
    typer.run(main)
