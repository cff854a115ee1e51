"""A small shop: documents, a question about them, and a generator that says what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from unimoer_rag.generation.types import Generation, Piece
from unimoer_rag.retrieval.types import Document, Hit

__all__ = ["DOCUMENTS", "QUESTION", "Told"]

QUESTION = "How long do refunds take?"
DOCUMENTS = {
    document.source: document
    for document in (
        Document(
            "Parcels are sent back to the depot. Postage for a return is paid by us.\n\n"
            "Refunds are paid within fourteen days of the return. They go to the card that paid.",
            "shop/returns.md",
            "Returns",
            {"team": "shop"},
        ),
        Document(
            "Lunch is served between noon and two.", "office/lunch.md", "", {"team": "office"}
        ),
        Document("Parking is free; bicycles go to the racks.", "office/parking.md", "Parking"),
    )
}


@dataclass
class Told:
    """A generator of one's own: one answer a call, in words; None abstains.

    Attributes:
        answers: of the next calls.
        read: the sources of the passages of each call.
        closed: streams that were closed before their end.
    """

    answers: list[str | None]
    read: list[list[str]] = field(default_factory=list)
    closed: int = 0
    stage: str = "generate"

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        self.read.append([hit.source for hit in hits])
        return Generation(self.answers.pop(0))

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        return self.generate(question, hits)

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        whole = self.generate(question, hits)
        try:
            yield from (whole.text or "").split()
            yield whole
        except GeneratorExit:
            self.closed += 1
            raise

    async def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        whole = self.generate(question, hits)
        try:
            for piece in (whole.text or "").split():
                yield piece
            yield whole
        except GeneratorExit:
            self.closed += 1
            raise
