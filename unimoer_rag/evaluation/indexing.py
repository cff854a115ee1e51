"""What several measurements of one data set share: what was encoded, and a first stage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unimoer_rag.data import BeirDataset, Run
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation.measure_ranking import asked, search_run
from unimoer_rag.evaluation.options import EvalOptions
from unimoer_rag.evaluation.systems import Unified, corpus_in_index
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent

__all__ = ["caching", "first_stage"]

_CACHE_BYTES = 2 * 2**30


@contextmanager
def caching(engine: Engine) -> Iterator[None]:
    """Room for the token states of whole corpora: each passage is encoded once.

    The outermost block empties the cache at its end, and gives it its old size.
    """
    if engine.cache.capacity >= _CACHE_BYTES:
        yield
        return
    kept = engine.cache.capacity
    engine.cache.capacity = _CACHE_BYTES
    try:
        yield
    finally:
        engine.cache.clear()
        engine.cache.capacity = kept


def first_stage(
    model: UniMoER,
    dataset: BeirDataset,
    *,
    options: EvalOptions | None = None,
    on_progress: Progress = silent,
) -> Run:
    """What a search finds for every question of `asked`: `options.depth` passages."""
    options = options or EvalOptions()
    with (
        tempfile.TemporaryDirectory() as scratch,
        corpus_in_index(
            Unified(model),
            dataset.corpus,
            index=Path(scratch) / "index",
            first_stage=options.mode,
            depth=options.depth,
            on_progress=on_progress,
        ) as retriever,
    ):
        return search_run(retriever, dataset, asked(dataset), options.depth, on_progress)
