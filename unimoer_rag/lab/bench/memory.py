"""What one model saves: memory of our three tasks against two and three models of its size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.process import run_module
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import random_cross_encoder, random_reader
from unimoer_rag.lab.bench.timing import OnRun, silent
from unimoer_rag.lab.tables import Table

__all__ = ["BENCH", "SIDES", "measure_memory", "run_side"]

SIDES = ("ours", "pair", "three")


def measure_memory(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    dtype: Annotated[
        Literal["float32", "bfloat16", "auto"],
        typer.Option(help="Of the weights on all sides; auto: what each library takes."),
    ] = "float32",
    embedder: Annotated[
        str | None,
        typer.Option(help="A sentence-transformers model; the checkpoint's backbone if not given."),
    ] = None,
    cross_encoder: Annotated[
        str | None,
        typer.Option(
            help="A cross-encoder; if not given one of the backbone's size with random weights, "
            "which take the memory of any others."
        ),
    ] = None,
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Measure the memory of one model that embeds, reranks and reads against two and three models.

    Each side runs in a fresh process: ours with embedding and reranker of LlamaIndex and of
    LangChain, and reading; the pair with a sentence-transformers embedder and a cross-encoder; the
    three with a question-answering model besides.

    Returns:
        See `report`. `ratio` and `ratio_to_three` compare the bytes of the weights; `added_ratio`
        and `added_ratio_to_three` what the peak of the whole process lies above the process with
        all libraries and no model.

    Raises:
        MissingExtraError: a package of the extra `bench` is not installed.
        UnimoerError: a side failed; its last words are in the message.
    """
    _check_installed()
    with tempfile.TemporaryDirectory() as scratch:
        backbone, folder = _backbone(checkpoint), Path(scratch)
        settings = {
            "checkpoint": checkpoint,
            "dtype": dtype,
            "embedder": embedder or str(backbone),
            "cross_encoder": cross_encoder or str(random_cross_encoder(backbone, folder / "pair")),
            "reader": str(random_reader(backbone, folder / "reader")),
        }
        sides = {}
        for side in SIDES:
            on_run(f"measuring {side}")
            sides[side] = run_side(side, settings)
    ours = sides.pop("ours")
    return report(
        "memory",
        ratio=_ratio(ours, sides["pair"], "model_bytes"),
        ratio_to_three=_ratio(ours, sides["three"], "model_bytes"),
        added_ratio=_ratio(ours, sides["pair"], "peak_added"),
        added_ratio_to_three=_ratio(ours, sides["three"], "peak_added"),
        checkpoint=checkpoint,
        dtype=dtype,
        embedder=embedder or f"the backbone of {checkpoint}",
        cross_encoder=cross_encoder or "random weights, the backbone's architecture",
        ours=ours,
        others=sides,
    )


def _ratio(ours: dict[str, Any], other: dict[str, Any], key: str) -> float:
    return round(float(ours[key]) / float(other[key]), 4)


def _check_installed() -> None:
    with needs_extra("sentence_transformers", "bench", "the memory benchmark"):
        import sentence_transformers  # noqa: F401
    with needs_extra("llama_index.core", "bench", "the memory benchmark"):
        import llama_index.core  # noqa: F401
    with needs_extra("langchain_core", "bench", "the memory benchmark"):
        import langchain_core  # noqa: F401
    with needs_extra("psutil", "bench", "the memory benchmark"):
        import psutil  # noqa: F401


def _backbone(checkpoint: str) -> Path:
    from unimoer_rag.model import UniMoER

    return UniMoER.from_pretrained(checkpoint, device="cpu").path


def run_side(side: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What one side takes, measured in a fresh process.

    Args:
        side: one of `SIDES`.
        settings: checkpoint, embedder, cross_encoder, reader and dtype.

    Raises:
        UnimoerError: the process failed; its last words are in the message.
    """
    return run_module("unimoer_rag.lab.bench.memory_side", side, settings)


def _table(found: Facts) -> Table:
    ours, sides = found["ours"], {"ours": found["ours"], **found["others"]}
    rows = []
    for name, key in (
        ("weights of all models", "model_bytes"),
        ("process, in use", "resident_in_use"),
        ("process, at its peak", "peak"),
        ("its peak above that of the libraries", "peak_added"),
    ):
        ratios = [
            "" if side is ours else f" ({ours[key] / side[key]:.2f})" for side in sides.values()
        ]
        shown = [f"{side[key] / 2**20:.1f}" for side in sides.values()]
        rows.append((name, *map("".join, zip(shown, ratios, strict=True))))
    rows.append(("models", *(str(side["models"]) for side in sides.values())))
    return Table(f"memory in MiB, {found['dtype']} weights", ("", *sides), rows)


BENCH = Bench(measure_memory, _table)
