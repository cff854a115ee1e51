"""Extractive reading: the answer is a span of a passage, found by the READ task."""

from __future__ import annotations

from collections.abc import Sequence

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.generation.doors import Doors
from unimoer_rag.generation.types import THRESHOLD, Citation, Generation
from unimoer_rag.model import Reading
from unimoer_rag.retrieval import Hit
from unimoer_rag.steps import Steps, arun, either, run

__all__ = ["ExtractiveReader", "check_threshold"]


class ExtractiveReader(Doors):
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

    def whole(self, question: str, hits: Sequence[Hit]) -> Steps[Generation]:
        """The most confident answer, cited wherever it stands; others are candidates."""
        return _generation((yield from self._read(question, hits)))

    def read(self, question: str, hits: Sequence[Hit]) -> list[Citation]:
        """The answers worth giving, most confident first; empty where nothing supports one."""
        return run(self._read(question, hits))

    async def aread(self, question: str, hits: Sequence[Hit]) -> list[Citation]:
        """`read` without blocking the event loop."""
        return await arun(self._read(question, hits))

    def _read(self, question: str, hits: Sequence[Hit]) -> Steps[list[Citation]]:
        if self._engine is None or not hits:
            return []
        texts = [hit.text for hit in hits]
        readings = yield from either(self._engine.read, self._engine.aread, question, texts)
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


def check_threshold(threshold: float) -> None:
    """Refuse a confidence that no answer can have.

    Raises:
        InputError: it is no probability.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}: expected a probability in [0, 1]")
