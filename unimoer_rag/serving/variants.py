"""A pipeline as one request wants it: the loaded parts are the same, the settings its own."""

from __future__ import annotations

from typing import TypeVar

from unimoer_rag.errors import InputError
from unimoer_rag.generation import THRESHOLD, ExtractiveReader
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.serving.schemas import AskRequest, Options

__all__ = ["varied"]

T = TypeVar("T")


def varied(pipeline: RagPipeline, options: Options) -> RagPipeline:
    """The pipeline with what a request says of it.

    Raises:
        InputError: a value cannot be used, or a threshold is asked of who gives no confidence.
    """
    more = options if isinstance(options, AskRequest) else AskRequest(question="")
    generator = pipeline.generator
    reader = generator if isinstance(generator, ExtractiveReader) else None
    reads = reader is not None or more.answer_by == "reader"
    if options.threshold is not None and not reads:
        raise InputError(
            "threshold: the answers are worded by a generator, which gives no confidence: leave it "
            "out"
        )
    threshold = reader.threshold if options.threshold is None and reader else options.threshold
    return RagPipeline(
        pipeline.retriever.with_search(rerank=options.rerank, mode=options.mode),
        n_read=_or(options.n_read, pipeline.n_read),
        generator=None if reads else generator,
        min_score=_or(more.min_score, pipeline.min_score),
        max_tokens=_or(more.max_tokens, pipeline.max_tokens),
        hops=_or(more.hops, pipeline.hops),
        threshold=_or(threshold, THRESHOLD),
        # A reader words no question: its follow-ups go by the rules.
        follow_up="auto" if reads and pipeline.follow_up == "model" else pipeline.follow_up,
    )


def _or(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
