"""What generation is about: passages in, an answer with its citations out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from unimoer_rag.retrieval import Hit

__all__ = ["THRESHOLD", "Citation", "Generation", "Generator", "Piece", "Replies", "Writes"]

THRESHOLD = 0.1
"""Least confidence of an answer that is given, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Citation:
    """What supports an answer, and where it stands.

    Attributes:
        text: the words that answer; of an answer in words of its own, the whole passage it names.
        hit: the passage it stands in, with its scores.
        start: character offset in the document.
        end: offset behind the last character.
        confidence: probability in [0, 1] that this answers the question; None where the
            generator gives none.
        number: by which an answer in words of its own names the passage (`[2]`), or None.
    """

    text: str
    hit: Hit
    start: int
    end: int
    confidence: float | None
    number: int | None = None

    @property
    def page(self) -> int | None:
        """The page on which it begins, counted from 1; None where there are none."""
        return self.hit.passage.page_at(self.start)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values, its passage by the id."""
        return {
            "text": self.text,
            "number": self.number,
            "source": self.hit.source,
            "title": self.hit.title,
            "page": self.page,
            "start": self.start,
            "end": self.end,
            "confidence": self.confidence,
            "passage_id": self.hit.id,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], hits: Mapping[str, Hit]) -> Self:
        """The citation that `to_dict` made these of, with the hits by their passages' ids."""
        said = ("text", "start", "end", "confidence", "number")
        return cls(hit=hits[values["passage_id"]], **{name: values[name] for name in said})


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer.

    Attributes:
        text: the answer, or None where the passages give none.
        citations: what supports it, best first.
        confidence: probability in [0, 1] that the answer is right, 0 without one; None where the
            generator gives none.
        prompt: digest of the prompt it was asked with, "" where there is none.
        complete: False for an answer that did not end by itself.
        cut_by: what ended it then: "length" for the generator's limit, "content_filter", or another
            word of a server's; "" where that is not known.
        candidates: other answers that were found, most confident first; they support nothing.
    """

    text: str | None
    citations: Sequence[Citation] = ()
    confidence: float | None = None
    prompt: str = ""
    complete: bool = True
    cut_by: str = ""
    candidates: Sequence[Citation] = ()


Piece = str | Generation
"""Of a stream: text as it comes, and at the end the whole."""


class Writes(Protocol):
    """Answers a question from passages: what a pipeline needs of whoever writes its answers.

    Beside `retrieval.Embeds` and `retrieval.Ranks`, the third port. One method is enough; who has
    those of `Generator` too is asked by them.
    """

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """The answer, blocking; it may be asked for from any thread."""


@runtime_checkable
class Generator(Writes, Protocol):
    """A `Writes` that can be awaited and streamed, and says what its work is called."""

    @property
    def stage(self) -> str:
        """What its work is called in timings and traces."""

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """The answer, awaited."""

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        """Pieces of text as they come, then the whole answer; closing it stops the generator."""

    def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        """`stream`, awaited."""


@runtime_checkable
class Replies(Protocol):
    """A language model that replies to messages: what makes a follow-up a question of its own.

    A generator with these two methods beside those of `Writes` is asked by them.
    """

    def reply(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The reply to a conversation of messages with `role` and `content`, blocking."""

    async def areply(self, messages: Sequence[Mapping[str, str]]) -> str:
        """`reply`, awaited."""
