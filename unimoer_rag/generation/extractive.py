"""Extractive reading: the answer is a span of a passage, found by the READ task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unimoer_rag.engine import Engine
from unimoer_rag.model.jobs import Reading
from unimoer_rag.retrieval.types import Hit

__all__ = ["Citation", "ExtractiveReader"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A span that answers, and where it stands.

    Attributes:
        text: the answer.
        hit: the passage it stands in, with its scores.
        start: character offset in the document.
        end: offset behind the last character.
        confidence: probability in [0, 1] that this span answers the question.
    """

    text: str
    hit: Hit
    start: int
    end: int
    confidence: float


class ExtractiveReader:
    """Reads passages and ranks the answers found in them.

    A span's confidence is the probability the reader gives it, all other spans and "no answer"
    considered, times the passage's relevance where the passage was reranked: a passage about
    something else may well hold a span of the right kind.

    Args:
        engine: runs the READ task.
        threshold: answers below this confidence are not given.
    """

    def __init__(self, engine: Engine, *, threshold: float = 0.05) -> None:
        self._engine, self.threshold = engine, threshold

    def read(self, question: str, hits: Sequence[Hit]) -> list[Citation]:
        """The answers worth giving, most confident first; empty where nothing supports one."""
        readings = self._engine.read(question, [hit.text for hit in hits])
        return self.select(hits, readings)

    async def aread(self, question: str, hits: Sequence[Hit]) -> list[Citation]:
        """`read` without blocking the event loop."""
        readings = await self._engine.aread(question, [hit.text for hit in hits])
        return self.select(hits, readings)

    def select(self, hits: Sequence[Hit], readings: Sequence[Reading]) -> list[Citation]:
        """Readings as ranked citations, those under the threshold left out."""
        citations = [
            Citation(
                text=reading.text,
                hit=hit,
                start=hit.passage.start + reading.start,
                end=hit.passage.start + reading.end,
                confidence=reading.probability * (1.0 if hit.rerank is None else hit.rerank),
            )
            for hit, reading in zip(hits, readings, strict=True)
            if reading.text
        ]
        kept = [citation for citation in citations if citation.confidence >= self.threshold]
        return sorted(kept, key=lambda citation: -citation.confidence)
