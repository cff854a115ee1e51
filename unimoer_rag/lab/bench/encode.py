"""Encoding passages: our engine against sentence-transformers on the same backbone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.engine import Engine
from unimoer_rag.lab.bench.bench import Bench, DeviceOption, PassagesOption, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import (
    RivalOption,
    chosen_rivals,
    open_rivals,
    sentence_library,
    setting_of,
    speeds,
)
from unimoer_rag.lab.bench.texts import make_passages
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.model import UniMoER

__all__ = ["BENCH", "EQUAL", "cosines", "measure_encode"]

EQUAL = 0.999
"""Mean cosine to the float32 embeddings from which a setting counts as equally accurate."""


def measure_encode(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    passages: PassagesOption = 1000,
    rounds: RoundsOption = 5,
    rival: RivalOption = None,
    device: DeviceOption = "cpu",
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Embed passages, against sentence-transformers with the same backbone.

    Returns:
        See `report`; `ratio_to_best` is against the fastest setting of the rival whose embeddings
        are equally accurate, each against its own float32.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: there are too few rounds, or the device cannot be used.
    """
    settings = chosen_rivals(rival)
    library = sentence_library("the encoding benchmark")
    model = UniMoER.from_pretrained(checkpoint, device=device)
    texts = make_passages(model.tokenizer, passages)
    limit = model.task("embed").max_tokens
    with tempfile.TemporaryDirectory() as scratch, Engine(model) as engine:
        load = partial(library.SentenceTransformer, str(model.path), device=str(model.device))
        rivals, refused = open_rivals(load, settings, Path(scratch), model.device)
        for opened in rivals.values():
            opened.max_seq_length = limit
        vectors: dict[str, NDArray[np.float32]] = {}

        def ours() -> None:
            vectors["ours"] = engine.embed(texts)

        def theirs(setting: str) -> None:
            found = rivals[setting].encode(texts, normalize_embeddings=True)
            vectors[setting] = found.astype(np.float32)

        sides: dict[str, Callable[[], None]] = {
            "ours": ours,
            **{name: partial(theirs, name) for name in rivals},
        }
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
        tokens = sum(min(model.rows.count(text) + 2, limit) for text in texts)
    exact = UniMoER.from_pretrained(checkpoint, device=device, dtype="float32").embed(texts)
    truth = dict.fromkeys(rivals, vectors["default"]) | {"ours": exact}
    facts: dict[str, dict[str, Any]] = {
        name: {
            "setting": setting_of(name, model.dtype),
            "seconds": round(taken, 3),
            "tokens_a_second": round(tokens / taken),
            "cosine": cosines(vectors[name], truth[name]),
        }
        for name, taken in seconds.medians().items()
    }
    equal = [name for name in rivals if facts[name]["cosine"]["mean"] >= EQUAL]
    best = min(equal, key=lambda name: facts[name]["seconds"])
    return report(
        "encode",
        ratio=seconds.ratio("default", "ours"),
        ratio_to_best=seconds.ratio(best, "ours"),
        best=best,
        checkpoint=checkpoint,
        device=str(model.device),
        passages=passages,
        tokens=tokens,
        rounds=rounds,
        ours=facts.pop("ours"),
        others=facts,
        not_run=refused,
        seconds=seconds.rounded(),
    )


def cosines(vectors: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """Mean and least cosine of embeddings to others of the same texts."""
    # Some settings normalise in bfloat16, whose rounding would count as a cosine above 1.
    norms = np.linalg.norm(vectors, axis=-1) * np.linalg.norm(truth, axis=-1)
    found = (vectors * truth).sum(-1) / norms
    return {"mean": round(float(found.mean()), 5), "least": round(float(found.min()), 5)}


BENCH = Bench(
    measure_encode,
    partial(speeds, "encoding"),
    quick={"passages": 16, "rival": ["default"]},
)
