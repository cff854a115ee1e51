"""What a pipeline gives: an answer with everything that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from unimoer_rag.generation import Citation
from unimoer_rag.retrieval import Hit

__all__ = ["NO_ANSWER", "Answer"]

NO_ANSWER = "no answer found"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pipeline found out.

    Attributes:
        question: what was asked, in the words it was asked in.
        text: the answer, or None when nothing supports one.
        confidence: probability in [0, 1] that the answer is right, 0 without one; None where the
            generator gives none.
        citations: what supports the answer, best first; of a reader's answer the first is the
            answer itself, and others are places that say the same.
        candidates: other answers that the reader found, most confident first: they support nothing.
        standalone: the question of its own that a follow-up became, which was looked for and
            answered; None where `question` itself was.
        hits: all passages that were read, best first; after more hops than one, those of the best
            pairs.
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
    standalone: str | None = None

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
            "standalone": self.standalone,
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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The answer that `to_dict` made these of; `hits` also has what only a citation had."""
        hits = [Hit.from_dict(one) for one in values["hits"]]
        by_id = {hit.id: hit for hit in hits}
        told: dict[str, Any] = {
            name: [Citation.from_dict(one, by_id) for one in values[name]]
            for name in ("citations", "candidates")
        }
        said = ("question", "standalone", "confidence", "prompt", "complete", "cut_by")
        return cls(
            text=values["answer"],
            hits=hits,
            timings=values["timings_ms"],
            **told,
            **{name: values[name] for name in said},
        )
