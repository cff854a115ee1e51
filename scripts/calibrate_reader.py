"""Choose the doubt from which a checkpoint's reader abstains.

python scripts/calibrate_reader.py --checkpoint CHECKPOINT --data DIR/squad2-dev --output OUT
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.output import errors, quiet
from unimoer_rag.data import load_beir
from unimoer_rag.model import UniMoER
from unimoer_rag.training.calibrate import calibrate_reader


def main(
    checkpoint: Annotated[str, typer.Option(help="The trained checkpoint.")],
    data: Annotated[Path, typer.Option(help="A set with unanswerable questions, split dev.")],
    output: Annotated[Path, typer.Option(help="Where the calibrated checkpoint goes.")],
    questions: Annotated[int, typer.Option(help="Questions to look at.")] = 2000,
) -> None:
    """Calibrate and save."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    threshold = calibrate_reader(model, load_beir(data, "dev").limit(questions))
    model.save_pretrained(output)
    errors.print(f"abstains from a doubt of {threshold:.3f}")


if __name__ == "__main__":
    typer.run(main)
