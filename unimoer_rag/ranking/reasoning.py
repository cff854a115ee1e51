"""Reasoning before the verdict: a rationale, its quotations checked, then yes or no."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unimoer_rag.generation import spoken
from unimoer_rag.ranking.asking import Asking, Choose, Write
from unimoer_rag.ranking.method import Calls, Scored, at_least, source_of
from unimoer_rag.ranking.passages import as_passage
from unimoer_rag.ranking.prompts import YES_NO, rationale, verdict

__all__ = ["Reasoning", "checked"]

_QUOTED = re.compile('["“]([^"“”]{1,400})["”]')
_FALSE = "(words that are not in the passage)"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Score is P(yes) / (P(yes) + P(no)) behind the model's own rationale, a document at a time.

    After Weller et al., "Rank1: Test-Time Compute for Reranking in Information Retrieval" (arXiv
    2502.18418). Two prompts a document: the rationale, and the verdict, which sees it without the
    quotations that are not in the passage. The rationales are `Scored.notes`.

    Args:
        max_tokens: of a rationale.

    Raises:
        InputError: a setting cannot be used.
    """

    max_tokens: int = 200

    kind: ClassVar[str] = "reasoning"
    probabilistic: ClassVar[bool] = True
    needs_likelihoods: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least(1, max_tokens=self.max_tokens)

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        return Calls(2 * n)

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        written = yield [Write(rationale(query, one), self.max_tokens) for one in passages]
        told = [_thought(answer.text) for answer in written]
        checks = [checked(text, one) for text, one in zip(told, passages, strict=True)]
        notes = [as_passage(text, self.max_tokens) or "none" for text, _ in checks]
        answers = yield [
            Choose(verdict(query, one, note), YES_NO)
            for one, note in zip(passages, notes, strict=True)
        ]
        said = [answer.probabilities for answer in answers]
        unfounded = [
            not text or n_false > 0 for text, (_, n_false) in zip(told, checks, strict=True)
        ]
        return Scored(
            scores=np.array([0.5 if one is None else one[0] for one in said], np.float32),
            source=source_of(answers),
            broken=said.count(None) + sum(unfounded),
            notes=tuple(notes),
        )


def _thought(reply: str) -> str:
    """What a reply says; where it is all thoughts, these."""
    return spoken(reply) or reply.strip()


def checked(text: str, passage: str) -> tuple[str, int]:
    """A rationale without the quotations that are not in the passage, and how many these were.

    Words are compared, in any case; marks between them are not.

    >>> checked('It says "Five days" and "never".', "Refunds take five days.")
    ('It says "Five days" and (words that are not in the passage).', 1)
    """
    known = f" {_words(passage)} "
    false = [found for found in _QUOTED.findall(text) if f" {_words(found)} " not in known]

    def kept(found: re.Match[str]) -> str:
        return _FALSE if found[1] in false else found[0]

    return _QUOTED.sub(kept, text), len(false)


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
