"""What answers a data set's questions, over whatever finds their passages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, cast

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.systems.types import Finder, System
from unimoer_rag.evaluation.systems.unified import Unified
from unimoer_rag.generation import Generator
from unimoer_rag.pipelines import Answer, PipelineConfig, ReaderConfig, assemble
from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["Answering", "PlainPipeline", "check_pipeline", "configured"]


class Answering(Protocol):
    """Answers questions over a corpus; `RagPipeline` is one."""

    def answer(self, question: str) -> Answer:
        """The answer to a question, with its confidence, sources and timings."""


class PlainPipeline:
    """Finds, reranks and answers, for finders that are no `UnifiedRetriever`.

    `RagPipeline` reranks with the model that its retriever holds; here the finder does it.

    Args:
        finder: finds and reranks.
        generator: answers.
        n_read: how many of the best passages are read, by default as many as `RagPipeline` reads.
    """

    def __init__(self, finder: Finder, generator: Generator, *, n_read: int = 5) -> None:
        self.finder, self.generator, self.n_read = finder, generator, n_read

    def answer(self, question: str) -> Answer:
        """The answer to a question; see `Answering.answer`."""
        started = last = time.perf_counter()
        timings: dict[str, float] = {}

        def lap(stage: str) -> None:
            nonlocal last
            now = time.perf_counter()
            timings[stage] = round((now - last) * 1000, 2)
            last = now

        hits = self.finder.search(question, k=self.n_read, on_stage=lap)
        generation = self.generator.generate(question, hits)
        lap(self.generator.stage)
        timings["total"] = round((last - started) * 1000, 2)
        return Answer(
            question=question,
            text=generation.text,
            confidence=generation.confidence,
            citations=generation.citations,
            hits=hits,
            timings=timings,
            prompt=generation.prompt,
            complete=generation.complete,
            cut_by=generation.cut_by,
            candidates=generation.candidates,
        )


def check_pipeline(system: System) -> None:
    """Refuse a system that pipelines from files cannot run on.

    Raises:
        InputError: it is no `Unified`.
    """
    if not isinstance(system, Unified):
        raise InputError(
            f"a pipeline from a file runs on unimoer's own retriever, not on {system.name!r}: "
            "leave out the system, or the pipeline"
        )


def configured(
    config: PipelineConfig, *, chat_key: str | None = None
) -> Callable[[Finder], Answering]:
    """Makes the pipeline of a configuration over a data set's corpus, found by `Unified`.

    Its reader gives every answer: what counts as an abstention is decided when they are measured.

    Args:
        config: of the pipeline; where its passages are is left aside.
        chat_key: of its chat server.
    """
    if isinstance(config.generate, ReaderConfig):
        config = config.updated(generate={"threshold": 0.0})

    def make(finder: Finder) -> Answering:
        return assemble(cast(UnifiedRetriever, finder), config, chat_key=chat_key)

    return make
