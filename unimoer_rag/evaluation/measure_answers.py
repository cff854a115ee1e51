"""Answers measured: read from the gold passage, or found by the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from unimoer_rag.engine import Engine
from unimoer_rag.evaluation.datasets import BeirDataset, Question
from unimoer_rag.evaluation.timing import Timings
from unimoer_rag.model.jobs import Reading, reading
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

__all__ = ["Answers", "measure_pipeline", "measure_reading", "read_contexts"]

# Questions under way at once: enough to fill batches, few enough to report progress.
_BLOCK = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered.

    Attributes:
        origin: where the answers come from, in words.
        predictions: question id -> answer, "" where it abstained.
    """

    origin: str
    predictions: dict[str, str]


def measure_reading(
    engine: Engine, dataset: BeirDataset, *, n_timed: int, timings: Timings, on_progress: Progress
) -> Answers:
    """Take the span read from each question's own passage.

    Where the data set has unanswerable questions the reader may abstain, else it must answer.

    Args:
        engine: runs the READ task.
        dataset: whose questions with known answers all have a context.
        n_timed: single calls timed.
        timings: takes the times of `read`.
        on_progress: called with what is done and its size.
    """
    questions = [q for q in dataset.questions if q.answers is not None]
    may_abstain = any(not q.answers for q in questions)
    threshold = engine.model.task("read").abstain

    predictions: dict[str, str] = {}
    with timings.run("read", len(questions)):
        for question, best in read_contexts(engine, dataset, questions, on_progress=on_progress):
            abstain = may_abstain and best.doubt >= threshold
            predictions[question.id] = "" if abstain else best.text

    def alone(question: Question) -> None:
        _submit(engine, dataset, question).result()

    timings.time("read", [partial(alone, question) for question in questions[:n_timed]])
    return Answers("the gold passage", predictions)


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
    retriever: UnifiedRetriever, dataset: BeirDataset, *, timings: Timings, on_progress: Progress
) -> Answers:
    """Answer by retrieving, reranking and reading; an abstention is the empty answer.

    Args:
        retriever: over the data set's corpus.
        dataset: with answers.
        timings: takes the times of `answer` and of the pipeline's stages.
        on_progress: called with what is done and its size.
    """
    pipeline = RagPipeline(retriever)
    questions = [q for q in dataset.questions if q.answers is not None]
    predictions: dict[str, str] = {}
    with timings.run("answer", len(questions)):
        for at, question in enumerate(questions, start=1):
            answer = pipeline.answer(question.text)
            predictions[question.id] = answer.text or ""
            stages = dict(answer.timings)
            timings.calls.setdefault("answer", []).append(stages.pop("total"))
            for stage, elapsed in stages.items():
                timings.stages.setdefault(f"answer/{stage}", []).append(elapsed)
            on_progress("answering", at, len(questions))
    return Answers(f"the whole pipeline, {retriever.mode} search", predictions)
