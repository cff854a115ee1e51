"""Reranking: our late interaction against a cross-encoder of the same size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from unimoer_rag.cli import CheckpointOption
from unimoer_rag.engine import Engine
from unimoer_rag.lab.bench.bench import Bench, DeviceOption, RoundsOption
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import (
    RivalOption,
    chosen_rivals,
    open_rivals,
    random_cross_encoder,
    sentence_library,
    setting_of,
    speeds,
)
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.lab.bench.timing import OnRun, alternate, silent
from unimoer_rag.model import UniMoER

__all__ = ["BENCH", "measure_rerank"]

_SEEN = "ours, passages seen before"
Scores = NDArray[np.float32]


def measure_rerank(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    queries: Annotated[int, typer.Option(help="Queries, one after the other.")] = 100,
    depth: Annotated[int, typer.Option(help="Passages a query, no two the same.")] = 50,
    rounds: RoundsOption = 5,
    rival: RivalOption = None,
    device: DeviceOption = "cpu",
    on_run: OnRun = silent,
) -> dict[str, Any]:
    """Rerank passages, against a cross-encoder of the backbone's size.

    Returns:
        See `report`; `rows` are sequences that our model encoded. No passage was seen before in
        `ours`; `ratio_seen` is for passages whose token states the engine still has, as where one
        collection is searched again and again.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: there are too few rounds, or the device cannot be used.
    """
    settings = chosen_rivals(rival)
    library = sentence_library("the reranking benchmark")
    model = UniMoER.from_pretrained(checkpoint, device=device)
    asked = make_queries(model.tokenizer, queries)
    passages = make_passages(model.tokenizer, queries * depth)
    lists = [passages[at * depth : (at + 1) * depth] for at in range(queries)]
    limit = model.task("rerank").max_tokens
    room = 2 * len(passages) * limit * model.width  # bytes of every passage's token states
    with tempfile.TemporaryDirectory() as scratch, Engine(model, cache_bytes=room) as engine:
        folder = random_cross_encoder(model.path, Path(scratch) / "cross-encoder")
        where = str(model.device)
        load = partial(library.CrossEncoder, str(folder), device=where, max_length=limit)
        rivals, refused = open_rivals(load, settings, Path(scratch), model.device)
        scores: dict[str, Scores] = {}

        rows: dict[str, int] = {}

        def ours() -> None:
            engine.cache.clear()
            rank("ours")

        def rank(side: str) -> None:
            before = engine.stats.rows
            scores["ours"] = np.stack(
                [engine.rank(q, some) for q, some in zip(asked, lists, strict=True)]
            )
            rows[side] = engine.stats.rows - before

        def theirs(setting: str) -> None:
            predict = rivals[setting].predict
            scores[setting] = np.stack(
                [
                    np.asarray(predict([(q, text) for text in some]), dtype=np.float32)
                    for q, some in zip(asked, lists, strict=True)
                ]
            )

        # Whatever the order of a round, "seen" finds the states of the passages kept.
        sides: dict[str, Callable[[], None]] = {
            "ours": ours,
            **{name: partial(theirs, name) for name in rivals},
            _SEEN: partial(rank, _SEEN),
        }
        seconds = alternate(sides, rounds=rounds, on_run=on_run)
    facts: dict[str, dict[str, Any]] = {
        name: {
            "setting": setting_of(name, model.dtype),
            "seconds": round(taken, 3),
            "milliseconds_a_query": round(1000 * taken / queries, 1),
        }
        for name, taken in seconds.medians().items()
    }
    for name, n_rows in rows.items():
        facts[name]["rows"] = n_rows
    for name in rivals:
        facts[name]["furthest_score"] = round(
            float(np.abs(scores[name] - scores["default"]).max()), 5
        )
    best = min(rivals, key=lambda name: facts[name]["seconds"])
    return report(
        "rerank",
        ratio=seconds.ratio("default", "ours"),
        ratio_to_best=seconds.ratio(best, "ours"),
        ratio_seen=seconds.ratio("default", _SEEN),
        best=best,
        checkpoint=checkpoint,
        device=str(model.device),
        queries=queries,
        depth=depth,
        rounds=rounds,
        ours=facts.pop("ours"),
        ours_seen=facts.pop(_SEEN),
        others=facts,
        not_run=refused,
        seconds=seconds.rounded(),
    )


BENCH = Bench(
    measure_rerank,
    partial(speeds, "reranking"),
    quick={"queries": 2, "depth": 10, "rival": ["default"]},
)
