"""A language model's questions read out of its reply, which may be broken."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from unimoer_rag.data import literal, plain

__all__ = ["Reply", "read_reply"]

_AROUND = " .,;:\"'\u201c\u201d`*"  # what models put around the words they copy
_TRAILING_COMMA = re.compile(r",\s*([}\]])")
_LINES = re.compile(
    r"^[\W\d]*(?:q|question)\W*\d*\W*[:.]\s*(?P<question>.+?)\s*\n+[\W\d]*(?:a|answer)\W*\d*\W*[:.]\s*(?P<answer>.+?)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_OF_THE_TEXT = re.compile(
    r"\b(?:the|this) (?:passage|text|document|excerpt|above)\b", re.IGNORECASE
)


class Reply(NamedTuple):
    """What a reply held.

    Attributes:
        asked: questions with the answers as the passage words them.
        dropped: reason -> how many of its questions cannot be used; "no question could be read"
            where it held none.
    """

    asked: list[tuple[str, str]]
    dropped: Counter[str]


def read_reply(reply: str, passage: str) -> Reply:
    """The questions of a reply that a passage answers in its own words.

    JSON is read wherever it stands: in a fence, between sentences, an object a line, cut off at the
    end. Failing that, lines of "Q: ..." and "A: ..." are.

    Args:
        reply: the model's words.
        passage: what it was shown; each answer has to stand in it, in any case and spacing.
    """
    asked: list[tuple[str, str]] = []
    dropped: Counter[str] = Counter()
    for question, answer in _pairs(reply):
        question = " ".join(question.split())
        bare = answer.strip(_AROUND)
        said = literal(bare or answer, passage) or literal(answer, passage)
        if reason := _unusable(question, answer, said):
            dropped[reason] += 1
        elif plain(question) not in {plain(known) for known, _ in asked}:
            asked.append((question if question.endswith("?") else f"{question}?", said))
    if not asked and not dropped:
        dropped["no question could be read"] += 1
    return Reply(asked, dropped)


def _unusable(question: str, answer: str, said: str) -> str:
    """Why a question cannot be used, or ""."""
    if len(question.split()) < 3:
        return "the question is no question"
    if _OF_THE_TEXT.search(question):
        return "the question speaks of the passage"
    if not said:
        return "the answer does not stand in the passage"
    return "the question tells the answer" if literal(answer, question) else ""


def _pairs(reply: str) -> Iterator[tuple[str, str]]:
    found = [pair for value in _objects(reply) if (pair := _pair(value)) is not None]
    yield from found or (m.group("question", "answer") for m in _LINES.finditer(reply))  # type: ignore[misc]


def _objects(reply: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text that is whole."""
    text = _TRAILING_COMMA.sub(r"\1", reply)
    decoder = json.JSONDecoder(strict=False)  # a line end within a string is let pass
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            held = [one for one in value.values() if isinstance(one, list)]
            yield from (one for one in (value, *chain(*held)) if isinstance(one, dict))
        at = text.find("{", end)


def _pair(value: dict[str, Any]) -> tuple[str, str] | None:
    by_name = {str(key).strip().lower(): one for key, one in value.items()}
    question = by_name.get("question", by_name.get("q"))
    answer = by_name.get("answer", by_name.get("a"))
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    if not (isinstance(question, str) and isinstance(answer, str)):
        return None
    return (question, answer) if question.strip() and answer.strip() else None
