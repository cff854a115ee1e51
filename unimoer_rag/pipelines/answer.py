"""What a pipeline gives: an answer with everything that led to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unimoer_rag.generation import Citation
from unimoer_rag.retrieval import Hit

__all__ = ["NO_ANSWER", "Answer"]

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
            answer itself, and others are places that say the same.
        candidates: other answers that the reader found, most confident first: they support nothing.
        hits: all passages that were read, best first; after more hops than one, the best of the
            hop before, then those of the last.
        timings: milliseconds of each stage, by name.
        prompt: digest of the prompt, "" where there is none.
        complete: False for an answer that did not end by itself.
        cut_by: what ended it then: "length" for the generator's limit, "content_filter", or another
            word of a server's; "" where that is not known.
    """

    question: str
    text: str | None
    confidence: float | None
    citations: Sequence[Citation] = ()
    hits: Sequence[Hit] = ()
    timings: dict[str, float] = field(default_factory=dict)
    prompt: str = ""
    complete: bool = True
    cut_by: str = ""
    candidates: Sequence[Citation] = ()

    def __str__(self) -> str:
        if self.text is None:
            return NO_ANSWER
        if not self.citations:
            return self.text
        source = self.citations[0]
        return f"{self.text}  [{source.hit.source}:{source.start}-{source.end}]"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values: each passage once, under `hits`, elsewhere its id."""
        hits = {hit.id: hit for hit in self.hits}
        for citation in (*self.citations, *self.candidates):
            hits.setdefault(citation.hit.id, citation.hit)
        return {
            "question": self.question,
            "answer": self.text,
            "confidence": self.confidence,
            "citations": [citation.to_dict() for citation in self.citations],
            "candidates": [citation.to_dict() for citation in self.candidates],
            "hits": [hit.to_dict() for hit in hits.values()],
            "timings_ms": self.timings,
            "prompt": self.prompt,
            "complete": self.complete,
            "cut_by": self.cut_by,
        }
