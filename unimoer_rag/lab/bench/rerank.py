"""Reranking on a CPU: our late interaction against a cross-encoder of the same size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.bench.rivals import SETTINGS, open_rivals, random_cross_encoder, setting_of
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.lab.bench.timing import alternate, median_ratio, rounded
from unimoer_rag.model import UniMoER

__all__ = ["measure_rerank"]

_SEEN = "ours, passages seen before"
Scores = NDArray[np.float32]


def measure_rerank(
    checkpoint: str = "unimoer-minilm",
    *,
    queries: int = 100,
    depth: int = 50,
    rounds: int = 5,
    settings: tuple[str, ...] = tuple(SETTINGS),
    on_run: Callable[[str, int], None] = lambda side, round_: None,
) -> dict[str, Any]:
    """Rerank passages for one query after the other, by either side, in turns.

    Args:
        checkpoint: our model, in the precision it takes by itself.
        queries: how many, of 4 to 14 words.
        depth: passages a query, of 8 to 250 tokens, no two the same.
        rounds: measured rounds.
        settings: of the rival; see `rivals.SETTINGS`.
        on_run: see `alternate`.

    Returns:
        See `report`; `rows` are sequences that our model encoded. No passage was seen before in
        `ours`; `ratio_seen` is for passages whose token states the engine still has, as where one
        collection is searched again and again.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: there are too few rounds.
    """
    with needs_extra("sentence_transformers", "bench", "the reranking benchmark"):
        from sentence_transformers import CrossEncoder

    model = UniMoER.from_pretrained(checkpoint, device="cpu")
    asked = make_queries(model.tokenizer, queries)
    passages = make_passages(model.tokenizer, queries * depth)
    lists = [passages[at * depth : (at + 1) * depth] for at in range(queries)]
    limit = model.task("rerank").max_tokens
    room = 2 * len(passages) * limit * model.width  # bytes of every passage's token states
    with tempfile.TemporaryDirectory() as scratch, Engine(model, cache_bytes=room) as engine:
        folder = random_cross_encoder(model.path, Path(scratch) / "cross-encoder")
        load = partial(CrossEncoder, str(folder), device="cpu", max_length=limit)
        rivals, refused = open_rivals(load, settings, Path(scratch))
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
            "seconds": round(median(taken), 3),
            "milliseconds_a_query": round(1000 * median(taken) / queries, 1),
        }
        for name, taken in seconds.items()
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
        ratio=median_ratio(seconds, "default", "ours"),
        ratio_to_best=median_ratio(seconds, best, "ours"),
        ratio_seen=median_ratio(seconds, "default", _SEEN),
        best=best,
        checkpoint=checkpoint,
        queries=queries,
        depth=depth,
        rounds=rounds,
        ours=facts.pop("ours"),
        ours_seen=facts.pop(_SEEN),
        others=facts,
        not_run=refused,
        seconds=rounded(seconds),
    )
