"""DOCX: every part that Word shows, in the order of the document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from unimoer_rag.retrieval.readers.archive import Archive, attribute
from unimoer_rag.retrieval.readers.drawing import drawing_texts
from unimoer_rag.retrieval.readers.extracted import Extracted, reading
from unimoer_rag.retrieval.readers.gathered import first_text, gather
from unimoer_rag.retrieval.readers.story import Story
from unimoer_rag.retrieval.text import legible_text

__all__ = ["read_docx"]


def read_docx(data: bytes) -> Extracted:
    """The document's text: headers, body, notes, comments, diagrams, footers.

    What was inserted is read and what was deleted is not, as when all changes are accepted.
    """
    with reading("DOCX"):
        archive = Archive(data)
        (main,) = archive.related("officeDocument")
        body = Story(_heading_styles(archive, main))
        archive.walk(main, body)
        blocks = [
            *_stories(archive, archive.related("header", main)),
            *body.blocks,
            *_notes(archive, archive.related("footnotes", main), body.footnotes),
            *_notes(archive, archive.related("endnotes", main), body.endnotes),
            *_stories(archive, archive.related("comments", main)),
            *drawing_texts(archive, main),
            *_stories(archive, archive.related("footer", main)),
        ]
        title = first_text(archive, archive.related("core-properties"), "title") or body.heading
    return Extracted(legible_text("\n\n".join(filter(None, blocks))), title)


def _stories(archive: Archive, parts: Iterable[str]) -> list[str]:
    """The blocks of some parts; what several of them say alike, once."""
    texts = []
    for part in parts:
        story = Story()
        archive.walk(part, story)
        texts.append("\n".join(story.blocks))
    return list(dict.fromkeys(texts))


def _notes(archive: Archive, parts: Iterable[str], numbers: Mapping[str, str]) -> list[str]:
    """Foot- or endnotes, with the numbers that the text has for them."""
    texts = []
    for part in parts:
        story = Story()
        archive.walk(part, story)
        texts += [
            f"{numbers[key]} {text}" if key in numbers else text
            for key, text in story.notes.items()
            if text
        ]
    return texts


def _heading_styles(archive: Archive, main: str) -> frozenset[str]:
    """The ids of styles that are headings by their names, whatever the language of Word."""
    found = set[str]()
    style = ""

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal style
        if name == "style":
            style = attribute(attributes, "styleId") or ""
        elif name == "name" and re.match(
            "heading|title", attribute(attributes, "val") or "", re.IGNORECASE
        ):
            found.add(style)

    watch: Callable[[str, Mapping[str, str]], None] = start
    for part in archive.related("styles", main):
        gather(archive, part, watch)
    return frozenset(found)
