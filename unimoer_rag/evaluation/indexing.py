"""A data set's corpus, indexed and encoded once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.datasets import BeirDataset, Run
from unimoer_rag.evaluation.measure_ranking import search_run
from unimoer_rag.evaluation.options import EvalOptions
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever

__all__ = ["caching", "first_stage", "indexed"]

_CACHE_BYTES = 2 * 2**30

Progress = Callable[[str, int, int], None]


@contextmanager
def caching(engine: Engine) -> Iterator[None]:
    """Room for the token states of whole corpora: each passage is encoded once.

    The outermost block empties the cache at its end, and gives it its old size.
    """
    kept = engine.cache.capacity
    if kept >= _CACHE_BYTES:
        yield
        return
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
    on_progress: Progress = lambda part, done, total: None,
) -> Run:
    """What a search of the corpus finds for each judged question: `options.depth` passages."""
    options = options or EvalOptions()
    judged = [q for q in dataset.questions if q.id in dataset.qrels]
    with tempfile.TemporaryDirectory() as scratch:
        retriever = indexed(model, dataset, Path(scratch) / "index", options, on_progress)
        with retriever:
            return search_run(retriever, judged, options.depth, on_progress)


def indexed(
    model: UniMoER,
    dataset: BeirDataset,
    index: Path,
    options: EvalOptions,
    on_progress: Progress,
) -> UnifiedRetriever:
    """A retriever over the data set's corpus and nothing else.

    Args:
        model: encodes the passages.
        dataset: its corpus is indexed, each passage whole.
        index: folder of the index; passages that it holds already are not encoded again.
        options: first stage and depth of the reranking.
        on_progress: called with "indexing", what is done and its size.

    Raises:
        DataError: the index holds passages of something else.
    """
    retriever = UnifiedRetriever(
        model, index=index, chunking="whole", mode=options.mode, rerank=options.depth
    )
    try:
        report = retriever.add(
            dataset.corpus.values(),
            on_progress=lambda so_far: on_progress(
                "indexing", so_far.passages, len(dataset.corpus)
            ),
        )
        n = retriever.count()
        if n != report.passages:
            raise DataError(
                f"the index at {index} holds {n} passages, {n - report.passages} of them not from "
                f"{dataset.name!r}: give each data set an index of its own"
            )
    except BaseException:
        retriever.close()
        raise
    return retriever
