"""OpenDocument text, sheets and slides: one XML part with all of the content."""

from __future__ import annotations

from collections.abc import Mapping

from unimoer_rag.retrieval.readers.archive import Archive, Target, attribute, split_tag
from unimoer_rag.retrieval.readers.elements import OpenElements
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.readers.gathered import first_text, gather
from unimoer_rag.retrieval.text import legible_text

__all__ = ["read_odf"]

# Deleted text lies in the record of changes.
_UNREAD = frozenset(
    ["tracked-changes", "forms", "automatic-styles", "font-face-decls", "creator", "date"]
)
# Spaces that one element may stand for.
_MAX_SPACES = 1000


def read_odf(data: bytes) -> Extracted:
    """Headers, the content with its notes and comments, footers."""
    with reading("OpenDocument"):
        archive = Archive(data)
        if "content.xml" not in archive:
            raise UnreadableError("it holds no content.xml, so it is no OpenDocument file")
        _refuse_encrypted(archive)
        content, margins = _Content(), _Content(master=True)
        archive.walk("styles.xml", margins)
        archive.walk("content.xml", content)
        title = first_text(archive, ["meta.xml"], "title") or content.heading
    blocks = [*dict.fromkeys(margins.headers), *content.blocks, *dict.fromkeys(margins.footers)]
    return Extracted(legible_text("\n\n".join(blocks)), title)


def _refuse_encrypted(archive: Archive) -> None:
    def watch(name: str, attributes: Mapping[str, str]) -> None:
        if name == "encryption-data":
            raise UnreadableError("it is protected by a password; save it without one")

    gather(archive, "META-INF/manifest.xml", watch)


class _Content(Target):
    """Takes the events of a part.

    Args:
        master: only headers and footers are read, as in the part of styles.

    Attributes:
        blocks: paragraphs and tables.
        headers: those of the pages.
        footers: likewise.
        heading: the first heading.
    """

    def __init__(self, *, master: bool = False) -> None:
        self.blocks: list[str] = []
        self.headers: list[str] = []
        self.footers: list[str] = []
        self.heading = ""
        self._open = OpenElements()
        self._margin = 0 if not master else -1  # how many headers and footers are open
        self._flows = [self.blocks]
        self._paragraphs: list[tuple[list[str], list[str]]] = []  # pieces, and what hangs on them
        self._rows: list[list[str]] = []
        self._cells: list[list[str]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = split_tag(tag)[1]
        if not self._open.enter(name):
            return
        if name in _UNREAD:
            self._open.skip()
        elif name in ("header", "footer", "header-left", "footer-left", "header-first"):
            self._flows.append([])
        elif name in ("p", "h"):
            self._paragraphs.append(([], []))
        elif name == "tab":
            self._put("\t")
        elif name == "line-break":
            self._put("\n")
        elif name == "s":
            count = attribute(attributes, "c") or "1"
            self._put(" " * min(int(count), _MAX_SPACES) if count.isdigit() else " ")
        elif name in ("note-body", "annotation", "text-box", "table-cell", "covered-table-cell"):
            self._flows.append([])
        elif name == "note-citation":
            self._put("[")
        elif name == "table-row":
            self._cells.append([])
        elif name == "table":
            self._rows.append([])

    def end(self, tag: str) -> None:
        name = self._open.names[-1]
        if not self._open.leave():
            return
        if name in ("p", "h"):
            self._close_paragraph(name)
        elif name in ("desc", "title") and self._open.names[-1:] != ["meta"]:
            if self._paragraphs and not "".join(self._paragraphs[-1][0][-1:]).endswith(" "):
                self._put(" ")
        elif name == "note-citation":
            self._put("]")
        elif name in ("header", "header-left", "header-first"):
            self.headers += self._flows.pop()
        elif name in ("footer", "footer-left", "footer-first"):
            self.footers += self._flows.pop()
        elif name in ("note-body", "annotation", "text-box"):
            self._hang("\n".join(self._flows.pop()))
        elif name in ("table-cell", "covered-table-cell"):
            cell = " ".join(" ".join(self._flows.pop()).split())
            if self._cells:
                self._cells[-1].append(cell)
        elif name == "table-row":
            row = " | ".join(filter(None, self._cells.pop()))
            if self._rows:
                self._rows[-1].append(row)
        elif name == "table":
            self._add("\n".join(filter(None, self._rows.pop())))

    def data(self, text: str) -> None:
        if self._open.is_read and self._paragraphs:
            # White space counts as in HTML: the document's own is written as elements.
            self._put(" ".join(f"|{text}|".split())[1:-1])

    def _put(self, text: str) -> None:
        if self._paragraphs:
            self._paragraphs[-1][0].append(text)

    def _close_paragraph(self, name: str) -> None:
        pieces, hanging = self._paragraphs.pop()
        text = "".join(pieces).strip()
        if name == "h" and not self.heading:
            self.heading = text
        for block in (text, *hanging):
            self._add(block)

    def _hang(self, text: str) -> None:
        if self._paragraphs:
            self._paragraphs[-1][1].append(text)
        else:
            self._add(text)

    def _add(self, block: str) -> None:
        if block:
            self._flows[-1].append(block)
