"""RagPipeline: retrieve, rerank, read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.generation.extractive import Citation, ExtractiveReader
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
        confidence: probability in [0, 1] that the answer is right; 0 without one.
        citations: spans that answer, most confident first; the first is the answer itself.
        hits: all passages that were read, best first.
        timings: milliseconds of each stage, by name.
    """

    question: str
    text: str | None
    confidence: float
    citations: Sequence[Citation] = ()
    hits: Sequence[Hit] = ()
    timings: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.text is None:
            return NO_ANSWER
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
        }


class RagPipeline:
    """Retrieve passages, rerank them, read the answer out of them.

    Args:
        retriever: finds and reranks.
        n_read: how many of the best passages are read.
        threshold: answers below this confidence are not given.

    >>> RagPipeline(retriever).answer("how long do refunds take?").text    # doctest: +SKIP
    'within 14 days'
    """

    def __init__(
        self, retriever: UnifiedRetriever, *, n_read: int = 5, threshold: float = 0.05
    ) -> None:
        if n_read < 1:
            raise InputError(f"n_read is {n_read}: expected the number of passages to read")
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold is {threshold}: expected a probability in [0, 1]")
        self.retriever, self.n_read = retriever, n_read
        self.reader = ExtractiveReader(retriever.engine, threshold=threshold)

    def answer(self, question: str, *, filters: Filters | None = None) -> Answer:
        """The answer to a question, with its confidence, sources and timings.

        Args:
            question: what is asked.
            filters: conditions on the passages, as for `UnifiedRetriever.search`.
        """
        clock = _Clock()
        hits = self.retriever.search(question, k=self.n_read, filters=filters, on_stage=clock.lap)
        citations = self.reader.read(question, hits)
        clock.lap("read")
        return _answer(question, hits, citations, clock)

    async def aanswer(self, question: str, *, filters: Filters | None = None) -> Answer:
        """`answer` without blocking the event loop."""
        clock = _Clock()
        hits = await self.retriever.asearch(
            question, k=self.n_read, filters=filters, on_stage=clock.lap
        )
        citations = await self.reader.aread(question, hits)
        clock.lap("read")
        return _answer(question, hits, citations, clock)


def _answer(
    question: str, hits: Sequence[Hit], citations: Sequence[Citation], clock: _Clock
) -> Answer:
    best = citations[0] if citations else None
    return Answer(
        question=question,
        text=best.text if best else None,
        confidence=best.confidence if best else 0.0,
        citations=citations,
        hits=hits,
        timings=clock.laps(),
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
