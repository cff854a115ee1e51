"""Small looks into a part: its elements one by one, or the text of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from unimoer_rag.retrieval.readers.archive import Archive, Target, split_tag

__all__ = ["first_text", "gather"]

_Watch = Callable[[str, Mapping[str, str]], None]


def gather(archive: Archive, part: str, watch: _Watch) -> None:
    """Show every element of a part, by its name without namespace and its attributes."""
    archive.walk(part, _Watched(watch))


def first_text(archive: Archive, parts: Iterable[str], name: str) -> str:
    """The text of the first element of that name that has some, or ""."""
    for part in parts:
        target = _Text(name)
        archive.walk(part, target)
        if text := "".join(target.pieces).strip():
            return text
    return ""


class _Watched(Target):
    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._watch(split_tag(tag)[1], attributes)


class _Text(Target):
    def __init__(self, name: str) -> None:
        self.pieces: list[str] = []
        self._name, self._inside, self._done = name, False, False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._inside = split_tag(tag)[1] == self._name and not self._done

    def end(self, tag: str) -> None:
        if self._inside and split_tag(tag)[1] == self._name:
            self._done = any(piece.strip() for piece in self.pieces)
        self._inside = False

    def data(self, text: str) -> None:
        if self._inside:
            self.pieces.append(text)
