"""EPUB: the pages of a book in the order of its spine."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from urllib.parse import unquote

from unimoer_rag.retrieval.readers.archive import Archive
from unimoer_rag.retrieval.readers.decoding import decode
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.readers.gathered import first_text, gather
from unimoer_rag.retrieval.readers.html import html_text

__all__ = ["read_epub"]


def read_epub(data: bytes) -> Extracted:
    """The text of every chapter, as the HTML that it is."""
    with reading("EPUB"):
        archive = Archive(data)
        book = _Book()
        gather(archive, "META-INF/container.xml", book.watch)
        if not book.package:
            raise UnreadableError("it names no book in META-INF/container.xml")
        gather(archive, book.package, book.watch)
        chapters = []
        for key in book.spine:
            part = posixpath.join(posixpath.dirname(book.package), book.parts.get(key, ""))
            part = posixpath.normpath(part)
            if key in book.parts and part in archive:
                chapters.append(html_text(decode(archive.read(part)).text).text)
        title = first_text(archive, [book.package], "title")
    return Extracted("\n\n".join(filter(None, chapters)), title)


class _Book:
    """What the container and the package of a book say."""

    def __init__(self) -> None:
        self.package = ""
        self.parts: dict[str, str] = {}
        self.spine: list[str] = []

    def watch(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "rootfile" and not self.package:
            self.package = attributes.get("full-path", "")
        elif name == "item":
            self.parts[attributes.get("id", "")] = unquote(attributes.get("href", ""))
        elif name == "itemref":
            self.spine.append(attributes.get("idref", ""))
