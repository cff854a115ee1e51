"""Sentences of a text that are prose: no headings, tables and fragments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from unimoer_rag.data.unanswerable import sentences

__all__ = ["sentence_at", "sentences_of"]

_BLOCK = re.compile(r"\n\s*\n|\n(?=[ \t]*(?:[-*+#|>]|\d+[.)])\s)")
_MARK = re.compile(r"\s*(?:#+ [^\n]*(?:\n|$)|(?:[-*+>]|\d+[.)])\s+)")
_ABBREVIATED = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|St|No|vs|etc|e\.g|i\.e|approx|Inc|Ltd)|\b[A-Z])\.$"
)


def sentences_of(text: str) -> Iterator[tuple[int, str]]:
    """Each sentence of a paragraph or list item, with where it begins; line ends stay in it."""
    for block, end in _blocks(text):
        if text[block:end].lstrip()[:1] in ("|", "`"):
            continue
        for a, b in sentences(text[block:end]):
            sentence = text[block + a : block + b].strip()
            if sentence and not _ABBREVIATED.search(sentence):
                yield text.index(sentence, block + a), sentence


def sentence_at(text: str, start: int, end: int) -> str:
    """The sentence around a span, in a line; several where it goes over their ends.

    Args:
        text: the passage.
        start: of the span.
        end: behind its last character.
    """
    held = [
        text[block + a : block + b]
        for block, behind in _blocks(text)
        for a, b in sentences(text[block:behind])
        if block + a < end and start < block + b
    ]
    whole = " ".join(" ".join(held).split())
    # Across paragraphs the sentences are no running text of the passage.
    return whole if whole in " ".join(text.split()) else " ".join(text.split())


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Paragraphs and list items, without the mark or the heading in front."""
    breaks = list(_BLOCK.finditer(text))
    starts = [0, *(found.end() for found in breaks)]
    ends = [*(found.start() for found in breaks), len(text)]
    for start, end in zip(starts, ends, strict=True):
        mark = _MARK.match(text, start, end)
        yield (mark.end() if mark else start), end
