"""`unimoer-rag ranking`: what rerankers that ask a language model are prepared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from rich.table import Table

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import columns, console, counting, print_text, progress_bar, quiet
from unimoer_rag.cli.skipping import SplitOption
from unimoer_rag.cli.targets import check_target, save_json

if TYPE_CHECKING:
    from unimoer_rag.ranking import FoundHeads

__all__ = ["ranking"]

ranking = typer.Typer(
    name="ranking",
    help="Rerankers that ask a language model: find the heads that rank.",
    no_args_is_help=True,
)


@ranking.command("find-heads")
@with_options
def find_heads_command(
    *,
    model: str = option("Folder of a decoder, or a known one (qwen3-0.6b).", default=...),
    data: Path = option("A folder in the BEIR layout: questions with judgements.", default=...),
    split: SplitOption = None,
    questions: int = option("Questions to find them on, at most.", default=200, min=1),
    negatives: int = option(
        "Passages beside the one that answers, at most; BM25 finds them.", default=19, min=1
    ),
    top: int = option("Heads to keep.", default=8, min=1),
    temperature: float = option(
        "Of the contrast: the lower, the more one hard negative counts.", default=0.001
    ),
    rows: Literal["all", "query", "ending"] = option(
        "Whose attention counts: of all behind the passages, the query, or the prompt's ending.",
        default="all",
    ),
    seed: int = option("Of what is drawn, and of the order of passages.", default=0),
    device: str = option("Where the model runs, such as cpu or cuda.", default="auto"),
    dtype: str = option("In what it computes, such as float32 or bfloat16.", default="auto"),
    out: Path = option("File for the heads, - for standard output.", default=...),
) -> None:
    """Find the few attention heads of a decoder that tell answers from what only looks like them.

    `InContextRanks` then ranks by these alone (CoRe heads), in Python: `found =
    FoundHeads.load(FILE, llm)`, and `heads=found.pairs, rows=found.rows`. Layers above the last of
    them do not run.
    """
    quiet()
    check_target(out)
    from unimoer_rag.data import load_beir
    from unimoer_rag.generation import LocalLLM
    from unimoer_rag.ranking import find_heads
    from unimoer_rag.training import contrasts_of

    dataset = load_beir(data, split)
    llm = LocalLLM(model, device=device, dtype=dtype)
    with progress_bar() as bar:
        show = counting(bar)
        found = find_heads(
            llm,
            contrasts_of(
                dataset, questions=questions, negatives=negatives, seed=seed, on_progress=show
            ),
            top=top,
            temperature=temperature,
            seed=seed,
            rows=rows,
            data=f"{dataset.name}, {dataset.split}, negatives by BM25",
            on_progress=show,
        )
    save_json(found.model_dump(), out)
    if str(out) != "-":
        console.print(_table(found))
        print_text(f"done: the heads are in {out}")


def _table(found: FoundHeads) -> Table:
    table = Table(title=f"heads of {found.model.name}")
    columns(table, "layer", "head", "score")
    for head in found.heads:
        table.add_row(str(head.layer), str(head.head), f"{head.score:.3f}")
    return table
