"""What sources call the files of a folder, in which others may have names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from unimoer_rag.retrieval.text import clean_name

__all__ = ["Naming"]


@dataclass(frozen=True)
class Naming:
    """The names of a folder and of folders in it; paths are relative to it.

    Attributes:
        name: of the folder.
        deep: folders in it by whose name all below them is called.
        flat: those that lend their name to the files in them, not to what is in their folders.
    """

    name: str
    deep: Mapping[PurePath, str] = field(default_factory=dict)
    flat: Mapping[PurePath, str] = field(default_factory=dict)

    def of_file(self, below: PurePath) -> str:
        """The source of a file."""
        if below.parent in self.flat:
            return _joined(self.flat[below.parent], below.name)
        return self._by_folder(below, below.parent)

    def of_folder(self, below: PurePath) -> tuple[str, ...]:
        """The names by which all in a folder goes: its own, and those of folders in it."""
        inner = (
            name
            for names in (self.deep, self.flat)
            for folder, name in names.items()
            if folder.is_relative_to(below)
        )
        return tuple(dict.fromkeys((self._by_folder(below, below), *inner)))

    def _by_folder(self, below: PurePath, folder: PurePath) -> str:
        for around in (folder, *folder.parents):
            if around in self.deep:
                return _joined(self.deep[around], below.relative_to(around))
        return _joined(self.name, below)


def _joined(name: str, below: PurePath | str) -> str:
    return clean_name((PurePath(name) / below).as_posix())
