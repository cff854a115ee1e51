"""What one model saves: memory of our three tasks against two and three models of the same size.

Each side runs in a fresh process (`memory_side`). Ours holds embedding and reranker of LlamaIndex
and of LangChain and reads besides; the pair is a sentence-transformers embedder and a
cross-encoder; a question-answering model makes it three.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.bench.process import run_module
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import random_cross_encoder, random_reader

__all__ = ["SIDES", "measure_memory", "run_side"]

SIDES = ("ours", "pair", "three")


def measure_memory(
    checkpoint: str = "unimoer-minilm",
    *,
    dtype: str = "float32",
    embedder: str | None = None,
    cross_encoder: str | None = None,
    on_side: Callable[[str], None] = lambda side: None,
) -> dict[str, Any]:
    """Measure all sides.

    Args:
        checkpoint: our model.
        dtype: of the weights on all sides; "auto" for what each library takes by itself.
        embedder: a sentence-transformers model; by default the backbone of `checkpoint`.
        cross_encoder: a cross-encoder; by default one with the backbone's architecture and random
            weights, which take the memory of any others. The reader is always such a one.
        on_side: called with the name of each side before it runs.

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
            on_side(side)
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
