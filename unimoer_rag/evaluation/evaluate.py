"""One checkpoint measured on one data set: retrieval, reranking, answers, time and memory.

| part | what is measured |
|---|---|
| retrieval | the whole corpus searched for every judged question, or the order of a given run |
| rerank | the first `depth` of that rescored and put above the rest |
| answers | the span read from each question's gold passage; without those, the whole pipeline's |
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.datasets import BeirDataset, Run
from unimoer_rag.evaluation.measure_answers import measure_pipeline, measure_reading
from unimoer_rag.evaluation.measure_ranking import Stages, measure_ranking, search_run
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import Mode, UnifiedRetriever

__all__ = ["PARTS", "EvalOptions", "caching", "evaluate", "first_stage"]

_CACHE_BYTES = 2 * 2**30

PARTS = ("retrieval", "rerank", "answers")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to measure and how.

    Attributes:
        parts: some of `PARTS`.
        depth: how many of the first stage's results are reranked; a given run is rescored whole.
        mode: the first stage, see `UnifiedRetriever`.
        index: folder that keeps the index for the next time; a temporary one by default.
        n_timed: single calls timed for each latency; 0 times none.

    Raises:
        InputError: a part is unknown, there is none, or a number is too small.
    """

    parts: Collection[str] = PARTS
    depth: int = 50
    mode: Mode = "dense"
    index: Path | None = None
    n_timed: int = 30

    def __post_init__(self) -> None:
        parts = [self.parts] if isinstance(self.parts, str) else self.parts
        unknown = sorted(set(parts) - set(PARTS))
        if unknown or not parts or isinstance(self.parts, str):
            raise InputError(
                f"cannot measure the parts {self.parts!r}: expected a list of some of "
                f"{', '.join(PARTS)}"
            )
        if self.depth < 1:
            raise InputError(f"depth is {self.depth}: expected at least 1 result to rerank")
        if self.n_timed < 0:
            raise InputError(f"n_timed is {self.n_timed}: expected a number of calls, or 0")


def evaluate(
    model: UniMoER,
    dataset: BeirDataset,
    *,
    run: Run | None = None,
    options: EvalOptions | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Measure a model on a data set.

    Args:
        model: the checkpoint.
        dataset: questions, corpus, judgements.
        run: a first stage to rescore in place of searching.
        options: what to measure and how.
        on_progress: called with the part, what is done of it and its size.

    Returns:
        JSON-ready results: `dataset`, `split`, `n`, `retrieval`, `rerank`, `answers`,
        `latency_ms`, `memory_mb`, `versions` and a few more. A part that was not asked for, or
        that the data set has nothing for, is empty.

    Raises:
        DataError: the data set has nothing for any of the parts, the run belongs to another data
            set, or the kept index holds other passages.
    """
    options = options or EvalOptions()
    ranks = bool({"retrieval", "rerank"} & set(options.parts)) and bool(dataset.qrels)
    reads = "answers" in options.parts and bool(dataset.golds)
    if not ranks and not reads:
        raise DataError(
            f"{dataset.name!r} {dataset.split} has nothing to measure {', '.join(options.parts)} "
            f"by: {len(dataset.qrels)} questions are judged, {len(dataset.golds)} have answers"
        )
    by_context = reads and all(q.context for q in dataset.questions if q.answers is not None)
    searches = (ranks and run is None) or (reads and not by_context)
    engine = Engine.of(model)
    stages = Stages()
    answers: dict[str, Any] = {}
    latency: dict[str, float] = {}
    with caching(engine), tempfile.TemporaryDirectory() as scratch:
        retriever: UnifiedRetriever | None = None
        try:
            if searches:
                index = options.index or Path(scratch) / "index"
                retriever = _indexed(model, dataset, index, options, on_progress)
            if by_context:
                answers, timed = measure_reading(
                    engine, dataset, n_timed=options.n_timed, on_progress=on_progress
                )
                latency.update(timed)
            elif reads and retriever is not None:
                answers, timed = measure_pipeline(retriever, dataset, on_progress=on_progress)
                latency.update(timed)
            # Last: its timings empty the cache that the answers have filled.
            first = retriever if run is None else run
            if ranks and first is not None:
                stages = measure_ranking(
                    engine,
                    dataset,
                    first,
                    depth=options.depth,
                    rerank="rerank" in options.parts,
                    n_timed=options.n_timed,
                    on_progress=on_progress,
                )
                latency.update(stages.latency_ms)
        finally:
            if retriever is not None:
                retriever.close()
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "n": len(dataset.questions),
        "n_judged": len(dataset.qrels),
        "n_judged_outside": dataset.n_judged_outside,
        "passages": len(dataset.corpus),
        "checkpoint": model.checkpoint,
        "checkpoint_digest": model.checkpoint_digest,
        "first_stage": "given run" if run is not None else options.mode,
        "rerank_depth": "whole run" if run is not None else options.depth,
        "retrieval": stages.retrieval,
        "rerank": stages.rerank,
        "answers": answers,
        "latency_ms": latency,
        "memory_mb": _memory(model),
        "versions": _versions(model),
    }


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
        retriever = _indexed(model, dataset, Path(scratch) / "index", options, on_progress)
        with retriever:
            return search_run(retriever, judged, options.depth, on_progress)


def _indexed(
    model: UniMoER,
    dataset: BeirDataset,
    index: Path,
    options: EvalOptions,
    on_progress: Progress,
) -> UnifiedRetriever:
    """A retriever over the data set's corpus and nothing else."""
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


def _memory(model: UniMoER) -> dict[str, float]:
    """Megabytes (10^6 bytes): the model's tensors, and the process at its peak."""
    tensors = sum(p.numel() * p.element_size() for p in model.parameters())
    memory = {"model": round(tensors / 1e6, 1)}
    if sys.platform != "win32":
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
        memory["peak"] = round(peak / 1e6, 1)
    return memory


def _versions(model: UniMoER) -> dict[str, str]:
    names = ("unimoer-rag", "torch", "transformers", "tokenizers", "qdrant-edge-py", "ir-measures")
    installed = {}
    for name in names:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # ir-measures is optional
            continue
    return {
        "python": platform.python_version(),
        **installed,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
    }
