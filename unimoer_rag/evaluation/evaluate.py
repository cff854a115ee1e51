"""One checkpoint measured on one data set: retrieval, reranking, answers, time and memory.

| part | what is measured |
|---|---|
| retrieval | the whole corpus searched for every judged question, or the order of a given run |
| rerank | the first `depth` of that rescored and put above the rest |
| answers | with a gold passage for each question: the span read from it; else the answer of the whole pipeline |
"""  # noqa: E501

from __future__ import annotations

import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.answers import score_answers
from unimoer_rag.evaluation.datasets import BeirDataset, Question, Run
from unimoer_rag.evaluation.ranking import evaluate_run
from unimoer_rag.model.jobs import Reading, reading, scoring
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import Mode, UnifiedRetriever

__all__ = ["PARTS", "EvalOptions", "evaluate"]

PARTS = ("retrieval", "rerank", "answers")

# Deep enough for recall@100.
_RETRIEVED = 100
# Questions under way at once: enough to fill batches, few enough to report progress.
_BLOCK = 64
_TIMED = 30  # single queries timed

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to measure and how.

    Attributes:
        parts: some of `PARTS`.
        depth: how many of the first stage's results are reranked; a given run is rescored whole.
        mode: the first stage, see `UnifiedRetriever`.
        index: folder that keeps the index for the next time; a temporary one by default.
    """

    parts: Collection[str] = PARTS
    depth: int = 50
    mode: Mode = "dense"
    index: Path | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown or not self.parts:
            raise InputError(f"cannot measure {unknown}: expected some of {', '.join(PARTS)}")
        if self.depth < 1:
            raise InputError(f"depth is {self.depth}: expected at least 1 result to rerank")


@dataclass(slots=True)
class _Measured:
    """Results as they come in."""

    retrieval: dict[str, float] = field(default_factory=dict)
    rerank: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)


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
        `latency_ms`, `memory_mb`, `versions` and a few more.

    Raises:
        DataError: the run names documents that the corpus lacks.
    """
    options = options or EvalOptions()
    engine = Engine.of(model)
    result = _Measured()
    with tempfile.TemporaryDirectory() as scratch:
        index = options.index or Path(scratch) / "index"
        retriever: UnifiedRetriever | None = None
        ranks = bool({"retrieval", "rerank"} & set(options.parts)) and bool(dataset.qrels)
        reads = "answers" in options.parts and bool(dataset.golds)
        by_context = reads and all(q.context for q in dataset.questions if q.answers is not None)
        try:
            if (ranks and run is None) or (reads and not by_context):
                retriever = _indexed(model, dataset, index, options, on_progress)
            if ranks:
                _measure_ranking(engine, dataset, run, retriever, options, result, on_progress)
            if by_context:
                _measure_reading(engine, dataset, result, on_progress)
            elif reads and retriever is not None:
                _measure_pipeline(retriever, dataset, options, result, on_progress)
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
        "retrieval": result.retrieval,
        "rerank": result.rerank,
        "answers": result.answers,
        "latency_ms": result.latency_ms,
        "memory_mb": _memory(model),
        "versions": _versions(model),
    }


# -- retrieval and reranking ----------------------------------------------------------------


def _indexed(
    model: UniMoER,
    dataset: BeirDataset,
    index: Path,
    options: EvalOptions,
    on_progress: Progress,
) -> UnifiedRetriever:
    retriever = UnifiedRetriever(
        model, index=index, chunking="whole", mode=options.mode, rerank=options.depth
    )
    total = len(dataset.corpus)
    retriever.add(
        dataset.corpus.values(),
        on_progress=lambda report: on_progress("indexing", report.passages, total),
    )
    return retriever


def _measure_ranking(
    engine: Engine,
    dataset: BeirDataset,
    run: Run | None,
    retriever: UnifiedRetriever | None,
    options: EvalOptions,
    result: _Measured,
    on_progress: Progress,
) -> None:
    judged = [q for q in dataset.questions if q.id in dataset.qrels]
    level = dataset.relevance_level
    if run is None:
        assert retriever is not None
        first = _search(retriever, judged, on_progress)
        depth = options.depth
    else:
        first, depth = _known(run, dataset, judged), max(map(len, run.values()), default=0)
    result.retrieval = _rounded(evaluate_run(dataset.qrels, first, relevance_level=level))
    if "rerank" in options.parts:
        second = _rerank(engine, dataset, judged, first, depth, on_progress)
        result.rerank = _rounded(evaluate_run(dataset.qrels, second, relevance_level=level))
        result.latency_ms.update(_time_ranking(engine, retriever, dataset, judged, first, depth))


def _search(
    retriever: UnifiedRetriever, questions: Sequence[Question], on_progress: Progress
) -> Run:
    run: Run = {}
    for at in range(0, len(questions), _BLOCK):
        block = questions[at : at + _BLOCK]
        found = retriever.search_batch([q.text for q in block], k=_RETRIEVED, rerank=0)
        for question, hits in zip(block, found, strict=True):
            run[question.id] = {hit.source: hit.score for hit in hits}
        on_progress("searching", at + len(block), len(questions))
    return run


def _known(run: Run, dataset: BeirDataset, judged: Sequence[Question]) -> Run:
    """The run's part about these questions; its documents must be in the corpus."""
    part = {q.id: run[q.id] for q in judged if q.id in run}
    missing = next((d for docs in part.values() for d in docs if d not in dataset.corpus), None)
    if missing is not None:
        raise DataError(
            f"the run ranks the document {missing!r}, which the corpus of {dataset.name!r} does "
            "not hold: give the run that belongs to this data set"
        )
    return part


def _rerank(
    engine: Engine,
    dataset: BeirDataset,
    judged: Sequence[Question],
    first: Run,
    depth: int,
    on_progress: Progress,
) -> Run:
    """The first `depth` of each ranking by our logits, above the rest in their old order."""
    run: Run = {}
    for at in range(0, len(judged), _BLOCK):
        block = [q for q in judged[at : at + _BLOCK] if first.get(q.id)]
        ordered = {q.id: _ranked(first[q.id]) for q in block}
        futures = {q.id: _score(engine, dataset, q, ordered[q.id][:depth]) for q in block}
        for question in block:
            ids = ordered[question.id]
            logits = futures[question.id].result()
            top = dict(zip(ids[:depth], map(float, logits), strict=True))
            floor = min(top.values())
            rest = {d: floor - 1.0 - n for n, d in enumerate(ids[depth:])}
            run[question.id] = {**top, **rest}
        on_progress("reranking", at + len(block), len(judged))
    return run


def _ranked(scores: dict[str, float]) -> list[str]:
    return sorted(scores, key=lambda document: -scores[document])


def _score(
    engine: Engine, dataset: BeirDataset, question: Question, documents: Sequence[str]
) -> Future[NDArray[np.float32]]:
    texts = [_content(dataset, document) for document in documents]
    return engine.submit(scoring(engine.model, question.text, texts, "rerank", logits=True))


def _content(dataset: BeirDataset, document: str) -> str:
    found = dataset.corpus[document]
    return f"{found.title}. {found.text}" if found.title else found.text


def _time_ranking(
    engine: Engine,
    retriever: UnifiedRetriever | None,
    dataset: BeirDataset,
    judged: Sequence[Question],
    first: Run,
    depth: int,
) -> dict[str, float]:
    """Median milliseconds of single calls, one after the other, nothing cached."""
    timed = [q for q in judged if first.get(q.id)][:_TIMED]
    taken: dict[str, float] = {}
    if retriever is not None:
        taken["search"] = _median(
            [lambda q=q: retriever.search(q.text, rerank=0) for q in timed]  # type: ignore[misc]
        )

    def cold(question: Question) -> None:
        engine.cache.clear()
        _score(engine, dataset, question, _ranked(first[question.id])[:depth]).result()

    taken["rerank"] = _median([lambda q=q: cold(q) for q in timed])  # type: ignore[misc]
    return taken


def _median(calls: Sequence[Callable[[], object]]) -> float:
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 2) if times else 0.0


# -- answers --------------------------------------------------------------------------------


def _measure_reading(
    engine: Engine, dataset: BeirDataset, result: _Measured, on_progress: Progress
) -> None:
    """The span read from each question's own passage.

    Where the data set has unanswerable questions the reader may abstain, else it must answer.
    """
    questions = [q for q in dataset.questions if q.answers is not None]
    may_abstain = any(not q.answers for q in questions)
    predictions: dict[str, str] = {}
    for at in range(0, len(questions), _BLOCK):
        block = questions[at : at + _BLOCK]
        futures = [
            engine.submit(reading(engine.model, q.text, [dataset.corpus[q.context or ""].text]))
            for q in block
        ]
        for question, future in zip(block, futures, strict=True):
            best: Reading = future.result()[0]
            abstain = may_abstain and best.no_answer >= best.probability
            predictions[question.id] = "" if abstain else best.text
        on_progress("reading", at + len(block), len(questions))
    scores = score_answers(predictions, dataset.golds)
    result.answers = {"from": "the gold passage", **_rounded(scores.to_dict(), 2)}
    result.latency_ms["read"] = _median(
        [
            lambda q=q: engine.read(q.text, [dataset.corpus[q.context or ""].text])  # type: ignore[misc]
            for q in questions[:_TIMED]
        ]
    )


def _measure_pipeline(
    retriever: UnifiedRetriever,
    dataset: BeirDataset,
    options: EvalOptions,
    result: _Measured,
    on_progress: Progress,
) -> None:
    """The answer of retrieve, rerank and read; an abstention counts as a wrong answer."""
    pipeline = RagPipeline(retriever)
    questions = [q for q in dataset.questions if q.answers is not None]
    predictions: dict[str, str] = {}
    times = []
    for at, question in enumerate(questions, start=1):
        answer = pipeline.answer(question.text)
        predictions[question.id] = answer.text or ""
        times.append(answer.timings["total"])
        on_progress("answering", at, len(questions))
    scores = score_answers(predictions, dataset.golds)
    abstained = sum(not text for text in predictions.values())
    result.answers = {
        "from": f"the whole pipeline, {options.mode} search",
        "abstained": abstained,
        **_rounded(scores.to_dict(), 2),
    }
    result.latency_ms["answer"] = round(statistics.median(times), 2)


# -- about the run --------------------------------------------------------------------------


def _rounded(values: dict[str, Any], digits: int = 5) -> dict[str, Any]:
    return {k: round(v, digits) if isinstance(v, float) else v for k, v in values.items()}


def _memory(model: UniMoER) -> dict[str, float]:
    """Megabytes (10^6 bytes): the model's tensors, and the process at its peak."""
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    tensors = sum(p.numel() * p.element_size() for p in model.parameters())
    return {"model": round(tensors / 1e6, 1), "peak": round(peak / 1e6, 1)}


def _versions(model: UniMoER) -> dict[str, str]:
    names = ("unimoer-rag", "torch", "transformers", "tokenizers", "qdrant-edge-py", "ir-measures")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
    }
