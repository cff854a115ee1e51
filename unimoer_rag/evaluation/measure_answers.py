"""Answers measured: read from the gold passage, or found by the whole pipeline."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from unimoer_rag.engine import Engine
from unimoer_rag.evaluation.answers import score_answers
from unimoer_rag.evaluation.datasets import BeirDataset, Question
from unimoer_rag.evaluation.timing import median_ms
from unimoer_rag.model.jobs import Reading, reading
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

__all__ = ["measure_pipeline", "measure_reading", "read_contexts"]

# Questions under way at once: enough to fill batches, few enough to report progress.
_BLOCK = 64

Progress = Callable[[str, int, int], None]
Answers = dict[str, Any]
Latency = dict[str, float]


def measure_reading(
    engine: Engine, dataset: BeirDataset, *, n_timed: int, on_progress: Progress
) -> tuple[Answers, Latency]:
    """Score the span read from each question's own passage.

    Where the data set has unanswerable questions the reader may abstain, else it must answer.

    Args:
        engine: runs the READ task.
        dataset: whose questions with known answers all have a context.
        n_timed: single calls timed.
        on_progress: called with what is done and its size.
    """
    questions = [q for q in dataset.questions if q.answers is not None]
    may_abstain = any(not q.answers for q in questions)
    threshold = engine.model.task("read").abstain

    predictions: dict[str, str] = {}
    for question, best in read_contexts(engine, dataset, questions, on_progress=on_progress):
        abstain = may_abstain and best.doubt >= threshold
        predictions[question.id] = "" if abstain else best.text
    scores = score_answers(predictions, dataset.golds).to_dict()

    def alone(question: Question) -> None:
        _submit(engine, dataset, question).result()

    timed = median_ms("read", [partial(alone, question) for question in questions[:n_timed]])
    return {"from": "the gold passage", **_rounded(scores)}, timed


def read_contexts(
    engine: Engine,
    dataset: BeirDataset,
    questions: Sequence[Question],
    *,
    on_progress: Progress = lambda what, done, total: None,
) -> Iterator[tuple[Question, Reading]]:
    """Each question with the best span of its own passage, in order."""
    for at in range(0, len(questions), _BLOCK):
        block = questions[at : at + _BLOCK]
        # All are queued before the first is awaited, so that they share batches.
        futures = [_submit(engine, dataset, question) for question in block]
        for question, future in zip(block, futures, strict=True):
            yield question, future.result()[0]
        on_progress("reading", at + len(block), len(questions))


def _submit(engine: Engine, dataset: BeirDataset, question: Question) -> Future[list[Reading]]:
    passage = dataset.corpus[question.context or ""].text
    return engine.submit(reading(engine.model, question.text, [passage]))


def measure_pipeline(
    retriever: UnifiedRetriever, dataset: BeirDataset, *, on_progress: Progress
) -> tuple[Answers, Latency]:
    """Score the answers of retrieve, rerank and read; an abstention is the empty answer.

    Args:
        retriever: over the data set's corpus.
        dataset: with answers.
        on_progress: called with what is done and its size.
    """
    pipeline = RagPipeline(retriever)
    questions = [q for q in dataset.questions if q.answers is not None]
    predictions: dict[str, str] = {}
    times = []
    for at, question in enumerate(questions, start=1):
        answer = pipeline.answer(question.text)
        predictions[question.id] = answer.text or ""
        times.append(answer.timings["total"])
        on_progress("answering", at, len(questions))
    scores = score_answers(predictions, dataset.golds).to_dict()
    answers = {
        "from": f"the whole pipeline, {retriever.mode} search",
        "abstained": sum(not text for text in predictions.values()),
        **_rounded(scores),
    }
    return answers, {"answer": round(statistics.median(times), 2)}


def _rounded(values: Mapping[str, Any]) -> Answers:
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in values.items()}
