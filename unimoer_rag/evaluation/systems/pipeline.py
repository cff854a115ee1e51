"""What answers a data set's questions, over whatever finds their passages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.systems.types import System
from unimoer_rag.evaluation.systems.unified import Unified
from unimoer_rag.pipelines import Answer, PipelineConfig, ReaderConfig, assemble
from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["Answering", "check_pipeline", "configured"]


class Answering(Protocol):
    """Answers questions over a corpus; `RagPipeline` is one."""

    def answer(self, question: str) -> Answer:
        """The answer to a question, with its confidence, sources and timings."""


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
) -> Callable[[UnifiedRetriever], Answering]:
    """Makes the pipeline of a configuration over a data set's corpus, found by `Unified`.

    Its reader gives every answer: what counts as an abstention is decided when they are measured.

    Args:
        config: of the pipeline; where its passages are is left aside.
        chat_key: of its chat server.
    """
    if isinstance(config.generate, ReaderConfig):
        config = config.updated(generate={"threshold": 0.0})

    def make(finder: UnifiedRetriever) -> Answering:
        return assemble(finder, config, chat_key=chat_key)

    return make
