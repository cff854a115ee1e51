"""Extractive reading: the answer is a span of a passage, found by the READ task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.generation.types import THRESHOLD, Citation, Generation, Piece
from unimoer_rag.model import Reading
from unimoer_rag.retrieval import Hit

__all__ = ["ExtractiveReader", "check_threshold"]


class ExtractiveReader:
    """Reads passages and ranks the answers found in them.

    A passage about something else may well hold a span of the right kind, so where passages were
    reranked, their relevance counts as much as the reader (`Reading.confidence`).

    Args:
        engine: runs the READ task; None reads nothing, as where no passage was found.
        threshold: answers below this confidence are not given.

    Raises:
        InputError: the threshold is no probability.
    """

    def __init__(self, engine: Engine | None, *, threshold: float = THRESHOLD) -> None:
        check_threshold(threshold)
        self._engine, self.threshold = engine, threshold

    @property
    def stage(self) -> str:
        """What its work is called in timings and traces."""
        return "read"

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """The most confident answer, cited wherever it stands; others are candidates."""
        return _generation(self.read(question, hits))

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """`generate` without blocking the event loop."""
        return _generation(await self.aread(question, hits))

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        """The answer's text in one piece, then the whole answer."""
        yield from _pieces(self.generate(question, hits))

    async def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        """`stream` without blocking the event loop."""
        for piece in _pieces(await self.agenerate(question, hits)):
            yield piece

    def read(self, question: str, hits: Sequence[Hit]) -> list[Citation]:
        """The answers worth giving, most confident first; empty where nothing supports one."""
        texts = [hit.text for hit in hits]
        readings = self._engine.read(question, texts) if self._engine and texts else []
        return self.select(hits, readings)

    async def aread(self, question: str, hits: Sequence[Hit]) -> list[Citation]:
        """`read` without blocking the event loop."""
        texts = [hit.text for hit in hits]
        readings = await self._engine.aread(question, texts) if self._engine and texts else []
        return self.select(hits, readings)

    def select(self, hits: Sequence[Hit], readings: Sequence[Reading]) -> list[Citation]:
        """Readings as ranked citations, those under the threshold left out."""
        found = [
            (reading.confidence(hit.rerank), hit, reading)
            for hit, reading in zip(hits, readings, strict=True)
            if reading.text
        ]
        kept = sorted((one for one in found if one[0] >= self.threshold), key=lambda one: -one[0])
        return [
            Citation(
                text=reading.text,
                hit=hit,
                start=hit.passage.start + reading.start,
                end=hit.passage.start + reading.end,
                confidence=confidence,
            )
            for confidence, hit, reading in kept
        ]


def _generation(found: Sequence[Citation]) -> Generation:
    """The best answer with the places that say it; other answers support nothing."""
    if not found:
        return Generation(None, confidence=0.0)
    best = found[0]
    words = _words(best.text)
    return Generation(
        best.text,
        [citation for citation in found if _words(citation.text) == words],
        best.confidence,
        candidates=[citation for citation in found if _words(citation.text) != words],
    )


def _words(text: str) -> list[str]:
    """Words to compare: whatever case they are in and whatever stands around them."""
    return [word.strip(".,;:!?()\"'") for word in text.casefold().split()]


def _pieces(generation: Generation) -> Iterator[Piece]:
    if generation.text is not None:
        yield generation.text
    yield generation


def check_threshold(threshold: float) -> None:
    """Refuse a confidence that no answer can have.

    Raises:
        InputError: it is no probability.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}: expected a probability in [0, 1]")
