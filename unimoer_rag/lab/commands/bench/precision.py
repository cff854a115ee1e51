"""Quality, bytes and seconds of each precision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.output import CheckpointOption, quiet
from unimoer_rag.lab.commands.bench.display import (
    MIB,
    JsonOption,
    RoundsOption,
    give,
    new_table,
    say_run,
)

__all__ = ["precision"]


def precision(
    data: Annotated[
        Path,
        typer.Option(help="Folder with trec-dl-2021, nq and squad-dev in the BEIR layout."),
    ],
    questions: Annotated[
        int, typer.Option(help="Of trec-dl-2021 and of nq; of squad-dev five times as many.")
    ] = 30,
    passages: Annotated[
        int, typer.Option(help="Of nq, beside those that hold the answers.")
    ] = 1000,
    timed: Annotated[int, typer.Option(help="Passages embedded and reranked a round.")] = 40,
    rounds: RoundsOption = 5,
    checkpoint: CheckpointOption = "unimoer-minilm",
    json: JsonOption = None,
) -> None:
    """Measure float32, bfloat16, int8 and int4 weights on the CPU: quality, bytes and seconds.

    Beside our model stand an embedder and a cross-encoder of its size, quantized in the same way.
    """
    quiet()
    from unimoer_rag.lab.bench.precision import measure_precision

    found = measure_precision(
        data,
        checkpoint,
        questions=questions,
        passages=passages,
        timed=timed,
        rounds=rounds,
        on_run=say_run,
    )
    give(found, _table(found), json)


def _table(found: dict[str, Any]) -> Table:
    table = new_table(
        "one model against two of its size, by precision of the frozen weights",
        "",
        "MiB",
        "two models",
        "rerank nDCG@10",
        "retrieval nDCG@10",
        "reading F1",
        "cosine to float32",
        "seconds",
        "two models",
    )
    for name, ours in found["ours"].items():
        theirs = found["others"][name]
        table.add_row(
            name,
            f"{ours['bytes'] / MIB:.1f}",
            f"{theirs['bytes'] / MIB:.1f}",
            f"{ours['rerank_ndcg_10']:.3f}",
            f"{ours['retrieval_ndcg_10']:.3f}",
            f"{ours['read_f1']:.1f}",
            f"{ours['cosine']:.4f}",
            f"{ours['seconds']:.3f}",
            f"{theirs['seconds']:.3f}",
        )
    return table
