"""What a ranking method is, how many prompts it takes, and the scores it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.ranking.asking import Answer, Asking, Source

__all__ = ["Calls", "Floats", "Method", "Scored", "at_least", "one_of", "ordered", "source_of"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calls:
    """How many prompts a ranking takes.

    Attributes:
        n: of them.
        exact: False where the answers decide: then at most so many.

    >>> str(Calls(90)), str(Calls(120, exact=False))
    ('90', 'at most 120')
    """

    n: int
    exact: bool = True

    def __str__(self) -> str:
        return str(self.n) if self.exact else f"at most {self.n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a method comes to.

    Attributes:
        scores: of the documents, float32 `[n]`, higher is better.
        source: where they come from; "order" where the model said an order and nothing else.
        broken: answers that were not as asked, and were repaired or passed over.
        notes: what the model wrote of each document; empty where it wrote nothing.
    """

    scores: Floats
    source: Source | Literal["order"]
    broken: int = 0
    notes: tuple[str, ...] = ()


class Method(Protocol):
    """Ranks documents by what it asks of a language model; a value, whose repr parses back.

    Attributes:
        kind: its name.
        probabilistic: its scores are probabilities of relevance, where the model has logits.
        needs_likelihoods: it asks for likelihoods (`Continue`).
    """

    kind: ClassVar[str]
    probabilistic: ClassVar[bool]
    needs_likelihoods: ClassVar[bool]

    def calls(self, n: int) -> Calls:
        """Prompts for n documents."""

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """Ranks passages, the best of the first ranking first.

        Args:
            query: one line.
            passages: one line each, in which no identifier stands (`as_passage`); at least one.
        """


def ordered(order: Sequence[int], *, broken: int = 0) -> Scored:
    """Scores that keep an order of all documents: 1 for the first, equal steps down."""
    n = len(order)
    scores = np.empty(n, np.float32)
    scores[list(order)] = 1 - np.arange(n) / n
    return Scored(scores=scores, source="order", broken=broken)


def source_of(answers: Sequence[Answer]) -> Source:
    """The least of the answers' sources."""
    known = {answer.source for answer in answers}
    return next(source for source in ("words", "logprobs", "logits") if source in known)


def at_least(least: int, **settings: int) -> None:
    """Refuse settings that are no whole numbers from `least` up.

    Raises:
        InputError: names the first.
    """
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} is {value!r}: expected a whole number, {least} or more")


def one_of(choices: Sequence[str], **settings: str) -> None:
    """Refuse settings that are none of some words.

    Raises:
        InputError: names the first, and the words.
    """
    for name, value in settings.items():
        if value not in choices:
            raise InputError(f"{name} is {value!r}: expected one of {', '.join(choices)}")
