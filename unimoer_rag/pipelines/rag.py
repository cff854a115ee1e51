"""RagPipeline: retrieve, rerank, select, generate."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.generation.extractive import ExtractiveReader
from unimoer_rag.generation.types import Citation, Generation, Generator
from unimoer_rag.retrieval.retriever import Filters, UnifiedRetriever
from unimoer_rag.retrieval.types import Hit

__all__ = ["NO_ANSWER", "Answer", "RagPipeline"]

NO_ANSWER = "no answer found"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pipeline found out.

    Attributes:
        question: what was asked.
        text: the answer, or None when nothing supports one.
        confidence: probability in [0, 1] that the answer is right, 0 without one; None where the
            generator gives none.
        citations: what supports the answer, best first; of a reader's answer the first is the
            answer itself.
        hits: all passages that were read, best first.
        timings: milliseconds of each stage, by name.
        prompt: digest of the prompt, "" where there is none.
        complete: False for an answer that was cut off at the generator's limit.
    """

    question: str
    text: str | None
    confidence: float | None
    citations: Sequence[Citation] = ()
    hits: Sequence[Hit] = ()
    timings: dict[str, float] = field(default_factory=dict)
    prompt: str = ""
    complete: bool = True

    def __str__(self) -> str:
        if self.text is None:
            return NO_ANSWER
        if not self.citations:
            return self.text
        source = self.citations[0]
        return f"{self.text}  [{source.hit.source}:{source.start}-{source.end}]"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            "question": self.question,
            "answer": self.text,
            "confidence": self.confidence,
            "citations": [
                {
                    "text": c.text,
                    "source": c.hit.source,
                    "start": c.start,
                    "end": c.end,
                    "confidence": c.confidence,
                    "passage": c.hit.to_dict(),
                }
                for c in self.citations
            ],
            "hits": [hit.to_dict() for hit in self.hits],
            "timings_ms": self.timings,
            "prompt": self.prompt,
            "complete": self.complete,
        }


class RagPipeline:
    """Retrieve passages, rerank them, select what fits, and answer from it.

    Args:
        retriever: finds and reranks.
        n_read: how many of the best passages are read at most.
        threshold: of the reader: answers below this confidence are not given.
        generator: answers; by default the model's own reader, which quotes.
        min_score: passages scored below this are not read.
        max_tokens: tokens that the passages read may have together, counted by the model's
            tokenizer; the best passage is read however long it is.

    Raises:
        InputError: an argument has a value that cannot be used.

    >>> RagPipeline(retriever).answer("how long do refunds take?").text    # doctest: +SKIP
    'within 14 days'
    """

    def __init__(
        self,
        retriever: UnifiedRetriever,
        *,
        n_read: int = 5,
        threshold: float = 0.05,
        generator: Generator | None = None,
        min_score: float = 0.0,
        max_tokens: int | None = None,
    ) -> None:
        if n_read < 1:
            raise InputError(f"n_read is {n_read}: expected the number of passages to read")
        if max_tokens is not None and max_tokens < 1:
            raise InputError(f"max_tokens is {max_tokens}: expected tokens to read, or None")
        self._reader = ExtractiveReader(retriever.engine, threshold=threshold)
        self.retriever, self.n_read = retriever, n_read
        self.min_score, self.max_tokens = min_score, max_tokens
        self.generator: Generator = self._reader if generator is None else generator

    @classmethod
    def from_yaml(
        cls,
        name: str | Path,
        *,
        index: str | Path | None = None,
        url: str | None = None,
        api_key: str | None = None,
        chat_key: str | None = None,
    ) -> RagPipeline:
        """The pipeline of a preset ("local", "hybrid", "server") or of a YAML file.

        Args:
            name: of the preset or the file; its keys are those of `PipelineConfig`.
            index: folder of the index, in place of the file's.
            url: of a Qdrant server, in place of the file's.
            api_key: of the Qdrant server; keys do not belong into a file.
            chat_key: of the chat server.

        Raises:
            InputError: there is none of that name, or it is malformed; names the line and the key.

        >>> RagPipeline.from_yaml("hybrid", index="handbook.index")        # doctest: +SKIP
        """
        from unimoer_rag.pipelines.build import build

        return build(name, index=index, url=url, api_key=api_key, chat_key=chat_key)

    def answer(self, question: str, *, filters: Filters | None = None) -> Answer:
        """The answer to a question, with its confidence, sources and timings.

        Args:
            question: what is asked.
            filters: conditions on the passages, as for `UnifiedRetriever.search`.
        """
        clock = _Clock()
        hits = self._retrieve(question, filters, clock)
        generation = self._generator(hits).generate(question, hits)
        clock.lap(self.generator.stage)
        return _answer(question, hits, generation, clock)

    async def aanswer(self, question: str, *, filters: Filters | None = None) -> Answer:
        """`answer` without blocking the event loop."""
        clock = _Clock()
        hits = await self._aretrieve(question, filters, clock)
        generation = await self._generator(hits).agenerate(question, hits)
        clock.lap(self.generator.stage)
        return _answer(question, hits, generation, clock)

    def stream(self, question: str, *, filters: Filters | None = None) -> Iterator[str | Answer]:
        """The answer's text in pieces as they come, and at the end the whole `Answer`.

        Closing the iterator stops the generator.

        >>> for piece in pipeline.stream("how long do refunds take?"):     # doctest: +SKIP
        ...     if isinstance(piece, str):
        ...         print(piece, end="", flush=True)
        """
        clock = _Clock()
        hits = self._retrieve(question, filters, clock)
        for piece in self._generator(hits).stream(question, hits):
            if isinstance(piece, Generation):
                clock.lap(self.generator.stage)
                yield _answer(question, hits, piece, clock)
            else:
                yield piece

    async def astream(
        self, question: str, *, filters: Filters | None = None
    ) -> AsyncIterator[str | Answer]:
        """`stream` without blocking the event loop."""
        clock = _Clock()
        hits = await self._aretrieve(question, filters, clock)
        async for piece in self._generator(hits).astream(question, hits):
            if isinstance(piece, Generation):
                clock.lap(self.generator.stage)
                yield _answer(question, hits, piece, clock)
            else:
                yield piece

    def _generator(self, hits: Sequence[Hit]) -> Generator:
        """Who answers: without passages nobody makes anything up."""
        return self.generator if hits else self._reader

    def _retrieve(self, question: str, filters: Filters | None, clock: _Clock) -> list[Hit]:
        return self._select(
            self.retriever.search(question, k=self.n_read, filters=filters, on_stage=clock.lap)
        )

    async def _aretrieve(self, question: str, filters: Filters | None, clock: _Clock) -> list[Hit]:
        return self._select(
            await self.retriever.asearch(
                question, k=self.n_read, filters=filters, on_stage=clock.lap
            )
        )

    def _select(self, hits: Sequence[Hit]) -> list[Hit]:
        """The passages that are good enough, as many of the best as fit."""
        good = [hit for hit in hits if hit.score >= self.min_score]
        if self.max_tokens is None:
            return good
        sizes = accumulate(self.retriever.model.rows.count(hit.passage.content) for hit in good)
        return [
            hit for hit, size in zip(good, sizes, strict=True) if size <= self.max_tokens
        ] or good[:1]


def _answer(question: str, hits: Sequence[Hit], generation: Generation, clock: _Clock) -> Answer:
    return Answer(
        question=question,
        text=generation.text,
        confidence=generation.confidence,
        citations=generation.citations,
        hits=hits,
        timings=clock.laps(),
        prompt=generation.prompt,
        complete=generation.complete,
    )


class _Clock:
    """Times stages one after the other."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = round((now - self._last) * 1000, 2)
        self._last = now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "total": round((self._last - self._started) * 1000, 2)}
