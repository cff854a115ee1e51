"""Average one expert of two checkpoints, with its task's head, as WiSE-FT does.

    python scripts/average_checkpoints.py --first START --second TRAINED --weight 0.75 \
        --expert read --head read --output OUT

Between the weights a run began from and those it ended with often lie some that are as good where
it was trained and better elsewhere (Wortsman et al. 2022, 2109.01903). All else is the second's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from unimoer_rag.cli.output import errors, quiet
from unimoer_rag.model import UniMoER, parameters_by_name
from unimoer_rag.training.run import start_tensors


def main(
    first: Annotated[str, typer.Option(help="The checkpoint the run began from.")],
    second: Annotated[str, typer.Option(help="The checkpoint it ended with.")],
    weight: Annotated[float, typer.Option(min=0, max=1, help="Of the second.")],
    expert: Annotated[str, typer.Option(help="The expert to average.")],
    head: Annotated[str, typer.Option(help="The head to average.")],
    output: Annotated[Path, typer.Option(help="Where the average goes.")],
) -> None:
    """Average and save."""
    quiet()
    model = UniMoER.from_pretrained(second)
    before = start_tensors(model, first)  # same backbone, same shapes
    prefixes = (f"experts.{expert}.", f"heads.{head}.")
    own = parameters_by_name(model)
    averaged = [name for name in before if name.startswith(prefixes)]
    if not averaged:
        raise typer.BadParameter(f"the checkpoints share no expert {expert!r} and no head {head!r}")
    with torch.no_grad():
        for name in averaged:
            own[name].lerp_(before[name].to(own[name]), 1 - weight)
    model.save_pretrained(output)
    errors.print(f"averaged {len(averaged)} tensors, {second} with the weight {weight:g}")


if __name__ == "__main__":
    typer.run(main)
