"""PPTX: the slides in their order, each a page, with their notes, tables, charts and diagrams."""

from __future__ import annotations

from collections.abc import Mapping

from unimoer_rag.retrieval.readers.archive import Archive, Target, attribute, split_tag
from unimoer_rag.retrieval.readers.drawing import described, drawing_texts
from unimoer_rag.retrieval.readers.elements import OpenElements
from unimoer_rag.retrieval.readers.extracted import Extracted, paged, reading
from unimoer_rag.retrieval.readers.gathered import first_text, gather
from unimoer_rag.retrieval.text import legible_text

__all__ = ["read_pptx"]


def read_pptx(data: bytes) -> Extracted:
    """What stands on every slide, and below it what its speaker noted."""
    with reading("PPTX"):
        archive = Archive(data)
        (main,) = archive.related("officeDocument")
        slides, heading = [], ""
        for part in _slides(archive, main):
            slide = _Slide()
            archive.walk(part, slide)
            heading = heading or slide.heading
            blocks = [*slide.blocks, *drawing_texts(archive, part)]
            for kind in ("notesSlide", "comments"):
                for name in archive.related(kind, part):
                    notes = _Slide()
                    archive.walk(name, notes)
                    blocks += notes.blocks
            slides.append(legible_text("\n".join(filter(None, blocks))))
        title = first_text(archive, archive.related("core-properties"), "title")
    if title == "PowerPoint Presentation":  # what the program calls what nobody gave a title
        title = ""
    return paged(slides, title or heading)


def _slides(archive: Archive, main: str) -> list[str]:
    ids: list[str] = []

    def watch(name: str, attributes: Mapping[str, str]) -> None:
        if name == "sldId":
            ids.extend(v for k, v in attributes.items() if k.endswith("}id"))

    gather(archive, main, watch)
    parts = {relation.id: relation.part for relation in archive.relations(main)}
    return [parts[key] for key in ids if key in parts]


class _Slide(Target):
    """Takes a slide's events; `blocks` are its paragraphs and the rows of its tables."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.heading = ""
        self._open = OpenElements()
        self._pieces: list[str] = []
        self._cells: list[list[str]] = []
        self._rows: list[list[str]] = []
        self._choices: list[int] = []  # as in `Story`
        self._kind = ""  # of the placeholder that the open shape fills

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = split_tag(tag)[1]
        if not self._open.enter(name):
            return
        if name in ("Choice", "Fallback") and self._choices and self._choices[-1] < 0:
            self._open.skip()
        elif name == "AlternateContent":
            self._choices.append(len(self.blocks))
        elif name == "sp":
            self._kind = ""
        elif name == "ph":
            self._kind = attribute(attributes, "type") or ""
            if self._kind in ("sldNum", "sldImg"):
                self._open.skip("sp")
        elif name == "cNvPr":
            self._add(described(attributes).strip())
        elif name == "br":
            self._pieces.append("\n")
        elif name == "tab" and self._open.names[-2:-1] == ["r"]:
            self._pieces.append("\t")
        elif name == "tr":
            self._rows.append([])
        elif name == "tc":
            self._cells.append([])

    def end(self, tag: str) -> None:
        name = self._open.names[-1]
        if not self._open.leave():
            return
        if name in ("p", "text"):
            text = "".join(self._pieces).strip()
            self._pieces.clear()
            if self._kind in ("title", "ctrTitle") and not self.heading:
                self.heading = text
            self._add(text)
        elif name == "tc" and self._cells:
            cell = " ".join(" ".join(self._cells.pop()).split())
            if self._rows:
                self._rows[-1].append(cell)
        elif name == "tr" and self._rows:
            self._add(" | ".join(filter(None, self._rows.pop())))
        elif name in ("Choice", "Fallback") and self._choices:
            if len(self.blocks) > self._choices[-1]:
                self._choices[-1] = -1
        elif name == "AlternateContent":
            self._choices.pop()

    def data(self, text: str) -> None:
        if self._open.is_read and self._open.names[-1] in ("t", "text"):
            self._pieces.append(text)

    def _add(self, text: str) -> None:
        if text:
            (self._cells[-1] if self._cells else self.blocks).append(text)
