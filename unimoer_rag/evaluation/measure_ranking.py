"""Retrieval and reranking measured: a first stage, and the same rescored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.datasets import BeirDataset, Question, Run
from unimoer_rag.evaluation.passages import answer_in_passage
from unimoer_rag.evaluation.ranking import per_query
from unimoer_rag.evaluation.summary import Rows
from unimoer_rag.evaluation.timing import Timings
from unimoer_rag.model.jobs import ranking
from unimoer_rag.retrieval.retriever import UnifiedRetriever

__all__ = ["Stages", "measure_ranking", "search_run"]

# Deep enough for recall@100.
_RETRIEVED = 100
# Questions under way at once: enough to fill batches, few enough to report progress.
_BLOCK = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Stages:
    """Measures of both stages, by question.

    Attributes:
        retrieval: of the first stage.
        rerank: of the second.
    """

    retrieval: Rows = field(default_factory=dict)
    rerank: Rows = field(default_factory=dict)


def measure_ranking(
    engine: Engine,
    dataset: BeirDataset,
    source: UnifiedRetriever | Run,
    *,
    depth: int,
    rerank: bool,
    n_timed: int,
    timings: Timings,
    on_progress: Progress,
) -> Stages:
    """Measure a first stage and, where asked, its reranking.

    Args:
        engine: runs the RERANK task.
        dataset: with judgements.
        source: the first stage: a retriever over the corpus, or a run.
        depth: how many results are reranked; a run is rescored whole.
        rerank: measure the second stage too.
        n_timed: single calls timed.
        timings: takes the times of `search` and `rerank`.
        on_progress: called with the stage, what is done of it and its size.

    Raises:
        DataError: a run without any of these questions, or with documents the corpus lacks.
    """
    judged = [q for q in dataset.questions if q.id in dataset.qrels]
    if isinstance(source, UnifiedRetriever):
        with timings.run("search", len(judged)):
            first = search_run(source, judged, max(_RETRIEVED, depth), on_progress)
        timings.time("search", [partial(source.search, q.text, rerank=0) for q in judged[:n_timed]])
    else:
        first = _known(source, dataset, judged)
        depth = max(map(len, first.values()))
    retrieval = _measure(dataset, first)
    if not rerank:
        return Stages(retrieval)
    found = [q for q in judged if first.get(q.id)]
    with timings.run("rerank", len(found)):
        second = _rerank(engine, dataset, judged, first, depth, on_progress)

    def cold(question: Question) -> None:
        engine.cache.clear()
        _score(engine, dataset, question, _order(first[question.id])[:depth]).result()

    timings.time("rerank", [partial(cold, question) for question in found[:n_timed]])
    return Stages(retrieval, _measure(dataset, second))


def search_run(
    retriever: UnifiedRetriever,
    questions: Sequence[Question],
    n: int,
    on_progress: Progress,
) -> Run:
    """The first `n` results of each question, with their scores."""
    run: Run = {}
    for at in range(0, len(questions), _BLOCK):
        block = questions[at : at + _BLOCK]
        found = retriever.search_batch([q.text for q in block], k=n, rerank=0)
        for question, hits in zip(block, found, strict=True):
            run[question.id] = {hit.source: hit.score for hit in hits}
        on_progress("searching", at + len(block), len(questions))
    return run


def _measure(dataset: BeirDataset, run: Run) -> Rows:
    """The ranking measures, and where the questions have answers, whether they were found."""
    measured = per_query(dataset.qrels, run, relevance_level=dataset.relevance_level)
    answered = answer_in_passage(dataset, run)
    return {qid: {**row, **answered.get(qid, {})} for qid, row in measured.items()}


def _known(run: Run, dataset: BeirDataset, judged: Sequence[Question]) -> Run:
    """The run's part about these questions; its documents must be in the corpus."""
    part = {q.id: run[q.id] for q in judged if run.get(q.id)}
    if not part:
        raise DataError(
            f"the run ranks none of the {len(judged)} judged questions of {dataset.name!r} "
            f"{dataset.split} (it has {next(iter(run), None)!r}, they have {judged[0].id!r}): give "
            "the run that belongs to this split"
        )
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
        ordered = {q.id: _order(first[q.id]) for q in block}
        # All are queued before the first is awaited, so that they share batches.
        futures = {q.id: _score(engine, dataset, q, ordered[q.id][:depth]) for q in block}
        for question in block:
            ids = ordered[question.id]
            logits = futures[question.id].result()
            top = dict(zip(ids[:depth], map(float, logits), strict=True))
            floor = min(top.values())
            rest = {d: floor - n for n, d in enumerate(ids[depth:], start=1)}
            run[question.id] = {**top, **rest}
        on_progress("reranking", min(at + _BLOCK, len(judged)), len(judged))
    return run


def _order(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda document: -scores[document])


def _score(
    engine: Engine, dataset: BeirDataset, question: Question, documents: Sequence[str]
) -> Future[NDArray[np.float32]]:
    texts = [dataset.content(document) for document in documents]
    return engine.submit(ranking(engine.model, question.text, texts, logits=True))
