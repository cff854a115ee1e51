"""Words in pictures: diagrams and charts, which have parts of their own, and descriptions."""

from __future__ import annotations

from collections.abc import Mapping

from unimoer_rag.retrieval.readers.archive import Archive, Target, attribute, split_tag

__all__ = ["described", "drawing_texts"]

_KINDS = ("diagramData", "chart", "chartEx")
# Programs add it to what they see themselves.
_GENERATED = ("description automatically generated", "ai-generated content may be incorrect.")


def drawing_texts(archive: Archive, part: str) -> list[str]:
    """What stands in the diagrams and charts that a part shows, a line a paragraph or value."""
    texts = []
    for kind in _KINDS:
        for name in archive.related(kind, part):
            target = _Lines()
            archive.walk(name, target)
            texts.append("\n".join(dict.fromkeys(target.lines)))
    return texts


def described(attributes: Mapping[str, str]) -> str:
    """The words that say what a picture shows; "" where nobody wrote any."""
    text = attribute(attributes, "descr") or ""
    lines = [line for line in text.split("\n") if line.strip().lower() not in _GENERATED]
    text = " ".join(" ".join(lines).split())
    return f" {text} " if text else ""


class _Lines(Target):
    """The paragraphs of a diagram; titles and the names of categories and series of a chart."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: list[str] = []
        self._pieces: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._names.append(split_tag(tag)[1])

    def end(self, tag: str) -> None:
        name = self._names.pop()
        if name in ("p", "pt"):
            line = " ".join("".join(self._pieces).split())
            self.lines += [line] if line else []
            self._pieces.clear()
        elif name == "br":
            self._pieces.append(" ")

    def data(self, text: str) -> None:
        if self._names[-1] == "t" or (self._names[-1] == "v" and "strCache" in self._names):
            self._pieces.append(text)
