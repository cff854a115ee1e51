"""Answers measured: read from the gold passage, or found by the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation.systems.pipeline import Answering
from unimoer_rag.evaluation.timing import Timings
from unimoer_rag.model import Reading, reading
from unimoer_rag.progress import Progress, silent

__all__ = ["Answers", "measure_pipeline", "measure_reading", "read_contexts"]

# Questions under way at once: enough to fill batches, few enough to report progress.
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered.

    Attributes:
        origin: where the answers come from, in words.
        predictions: question id -> the answer that is scored. Where every question has an answer
            nothing is gained by abstaining, so this is then the best guess; "" for an abstention.
        given: question id -> the answer that a user is given, "" where it abstained.
        citations: question id -> ids of the documents that an answer given cites, best first;
            without the questions that were answered from a given passage.
        read: question id -> ids of the documents that the answer was made from, best first.
        prompt: digest of the generator's prompt, "" where there is none.
    """

    origin: str
    predictions: Mapping[str, str]
    given: Mapping[str, str]
    citations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    read: Mapping[str, Sequence[str]] = field(default_factory=dict)
    prompt: str = ""


def measure_reading(
    engine: Engine,
    dataset: BeirDataset,
    *,
    n_timed: int,
    forget: Callable[[], None],
    timings: Timings,
    on_progress: Progress,
) -> Answers:
    """Take the span read from each question's own passage.

    Where the data set has unanswerable questions the reader may abstain, else it must answer.

    Args:
        engine: runs the READ task.
        dataset: whose questions with known answers all have a context.
        n_timed: single calls timed.
        forget: drops what is kept between calls.
        timings: takes the times of `read`.
        on_progress: called with what is done and its size.
    """
    questions = [q for q in dataset.questions if q.answers is not None]
    may_abstain = _some_unanswerable(questions)
    threshold = engine.model.task("read").abstain

    predictions: dict[str, str] = {}
    with timings.run("read", len(questions)):
        for question, best in read_contexts(engine, dataset, questions, on_progress=on_progress):
            abstain = may_abstain and best.doubt >= threshold
            predictions[question.id] = "" if abstain else best.text

    def alone(question: Question) -> None:
        _submit(engine, dataset, question).result()

    singly = [partial(alone, question) for question in questions[:n_timed]]
    timings.time("read", singly, before=forget)
    contexts = {q.id: [q.context] for q in questions if q.context is not None}
    return Answers("the gold passage", predictions, predictions, read=contexts)


def read_contexts(
    engine: Engine,
    dataset: BeirDataset,
    questions: Sequence[Question],
    *,
    on_progress: Progress = silent,
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
    pipeline: Answering,
    dataset: BeirDataset,
    *,
    first_stage: str,
    threshold: float,
    n_timed: int,
    forget: Callable[[], None],
    timings: Timings,
    on_progress: Progress,
) -> Answers:
    """Answer by retrieving, reranking and reading; an abstention is the empty answer.

    Args:
        pipeline: over the data set's corpus; it gives every answer it has a confidence for.
        dataset: with answers.
        first_stage: how it searches, in a word.
        threshold: an answer of less confidence counts as an abstention.
        n_timed: so many answers, the first, are timed cold, the others warm.
        forget: drops what is kept between calls.
        timings: takes the times of `answer` and of the pipeline's stages.
        on_progress: called with what is done and its size.
    """
    questions = [q for q in dataset.questions if q.answers is not None]
    may_abstain = _some_unanswerable(questions)
    predictions: dict[str, str] = {}
    given: dict[str, str] = {}
    citations: dict[str, Sequence[str]] = {}
    read: dict[str, Sequence[str]] = {}
    prompt = ""
    with timings.run("answer", len(questions)):
        for at, question in enumerate(questions, start=1):
            if cold := at <= n_timed:
                forget()
            answer = pipeline.answer(question.text)
            guess = answer.text or ""
            given[question.id] = guess if _sure(answer.confidence, threshold) else ""
            predictions[question.id] = given[question.id] if may_abstain else guess
            cited = [c.hit.source for c in answer.citations if _sure(c.confidence, threshold)]
            citations[question.id] = list(dict.fromkeys(cited))
            read[question.id] = list(dict.fromkeys(hit.source for hit in answer.hits))
            prompt = answer.prompt or prompt
            timings.note("answer", answer.timings, cold=cold)
            on_progress("answering", at, len(questions))
    origin = f"the whole pipeline, {first_stage} search"
    return Answers(origin, predictions, given, citations, read, prompt)


def _some_unanswerable(questions: Sequence[Question]) -> bool:
    """Whether abstaining can be right; otherwise every question is to be answered."""
    return any(not q.answers for q in questions)


def _sure(confidence: float | None, threshold: float) -> bool:
    """Whether an answer is given; a generator without confidences abstains by itself."""
    return confidence is None or confidence >= threshold
