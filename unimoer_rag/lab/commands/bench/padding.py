"""What batches without padding save."""

from __future__ import annotations

from typing import Annotated

import typer

from unimoer_rag.cli.output import CheckpointOption, quiet
from unimoer_rag.lab.commands.bench.display import (
    JsonOption,
    PassagesOption,
    RoundsOption,
    give,
    new_table,
    say_run,
)

__all__ = ["padding"]


def padding(
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Embed passages in padded batches and without padding."""
    quiet()
    from unimoer_rag.lab.bench.padding import measure_padding

    found = measure_padding(
        checkpoint, passages=passages, rounds=rounds, device=device, on_run=say_run
    )
    table = new_table(
        f"{found['padding']:.1%} of padding; kernels: {'yes' if found['kernels'] else 'none here'}",
        "",
        "seconds",
    )
    for name, facts in {**found["others"], "without padding": found["ours"]}.items():
        table.add_row(name, f"{facts['seconds']:.3f}")
    give(found, table, json)
