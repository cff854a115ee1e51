"""How a reply's words are read: a label, or identifiers in order; what is broken is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from unimoer_rag.generation import cited, spoken

__all__ = ["Named", "is_label", "named_label", "named_passages", "repaired"]

_MARKS = " \t\r\n*_`'\"“”.:()[]"
_CHAIN = re.compile(r"\[\d{1,6}\](?:\s{0,3}>\s{0,3}\[\d{1,6}\])+")
_NUMBER = re.compile(r"\d{1,6}")
_BARE = re.compile(r"[\d\s,;>]+")  # a reply of numbers and nothing else


@dataclass(frozen=True, slots=True)
class Named:
    """The passages that a reply names.

    Attributes:
        order: their positions from 0, each once, in the order of their first mention.
        clean: the reply is identifiers of passages and nothing twice.
    """

    order: list[int]
    clean: bool


def named_passages(reply: str, n: int) -> Named:
    """The passages that a reply names by identifiers in brackets (`[2] > [1]`).

    Of several lists the longest counts, the last of equal ones: a model may think aloud first. A
    reply of bare numbers is read too. Numbers that no passage has are left out.

    Args:
        reply: the model's words.
        n: passages there are, numbered from 1.

    >>> named_passages("[2] > [2] > [9] > [1]", 3)
    Named(order=[1, 0], clean=False)
    """
    text = spoken(reply)
    if "[" not in text and _BARE.fullmatch(text):
        text = _NUMBER.sub(lambda found: f"[{found[0]}]", text)
    chains = _CHAIN.findall(text)
    # `max` keeps the first of equal ones.
    listed = max(reversed(chains), key=lambda chain: chain.count(">")) if chains else text
    order = [number - 1 for number in cited(listed, n)]
    return Named(order, clean=len(_NUMBER.findall(listed)) == len(order) > 0)


def repaired(order: Sequence[int], n: int) -> list[int]:
    """All n positions: those named in their order, the missing behind them in theirs.

    >>> repaired([2], 4)
    [2, 0, 1, 3]
    """
    named = dict.fromkeys(order)
    return [*named, *(at for at in range(n) if at not in named)]


def named_label(reply: str, labels: Sequence[str]) -> int | None:
    """The position of the one label that a reply says; None where it says none or several.

    A label of one letter counts as it is written, since "a" is a word; longer ones in any case.

    >>> named_label("**Passage B**", ("A", "B")), named_label("yes and no", ("yes", "no"))
    (1, None)
    """
    text = spoken(reply).strip(_MARKS)
    for at, label in enumerate(labels):
        if is_label(text, label):
            return at
    found = [at for at, label in enumerate(labels) if _said(label, text)]
    return found[0] if len(found) == 1 else None


def is_label(text: str, label: str) -> bool:
    """Whether a text is a label and nothing else."""
    return text == label if len(label) == 1 else text.casefold() == label.casefold()


def _said(label: str, text: str) -> bool:
    flags = re.NOFLAG if len(label) == 1 else re.IGNORECASE
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", text, flags) is not None
