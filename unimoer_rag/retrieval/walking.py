"""Walking a folder: which of its files are documents, and how many entries are passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unimoer_rag.retrieval.selecting import IgnoreFiles, Selection
from unimoer_rag.retrieval.store.manifest import is_index

__all__ = ["OUTSIDE", "Walk", "leads_out"]

OUTSIDE = "link out of the folder"
"""How links are counted that are not followed."""


@dataclass
class Walk:
    """One walk to the bottom of a folder, which always ends: no folder is entered twice.

    Attributes:
        root: the folder.
        selection: what is read of it.
        is_readable: whether a file is of a kind that can be read.
        skipped: entries passed over so far, by kind.
        unlistable: folders and ignore files that could not be read so far, and why.
    """

    root: Path
    selection: Selection
    is_readable: Callable[[Path], bool]
    skipped: Counter[str] = field(default_factory=Counter)
    unlistable: list[tuple[Path, str]] = field(default_factory=list)

    def files(self) -> Iterator[Path]:
        """The files that are documents, in no certain order; each once, whatever links to it."""
        links: list[Path] = []
        read: list[Path] = []
        for path in self._entries():
            if path.is_symlink():
                links.append(path)
            else:
                read.append(path)
                yield path
        targets = {os.path.realpath(path) for path in read} if links else set()
        for path in sorted(links):
            target = os.path.realpath(path)
            if target in targets:
                self.skipped["linked file"] += 1
            else:
                targets.add(target)
                yield path

    def _entries(self) -> Iterator[Path]:
        ignoring = IgnoreFiles(self.root) if self.selection.ignore_files else None
        followed: set[str] = set()
        folders = [self.root]
        while folders:
            folder = folders.pop()
            if ignoring is not None:
                ignoring.enter(folder)
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self.unlistable.append((folder, error.strerror or str(error)))
                continue
            for entry in entries:
                path = folder / entry.name
                is_folder = entry.is_dir()
                reason = self._passed_over(path, is_folder, ignoring)
                if reason is None and is_folder:
                    reason = self._not_entered(path, followed)
                elif reason is None:
                    reason = self._not_read(path)
                if reason is not None:
                    self.skipped[reason] += 1
                elif is_folder:
                    folders.append(path)
                else:
                    yield path
        if ignoring is not None:
            self.unlistable += ignoring.problems

    def _passed_over(self, path: Path, is_folder: bool, ignoring: IgnoreFiles | None) -> str | None:
        if path.name.startswith("."):
            return "hidden"
        below = path.relative_to(self.root).as_posix() + "/" * is_folder
        if self.selection.leaves_out(below):
            return "excluded"
        if ignoring is not None and ignoring.ignore(path, is_folder=is_folder):
            return "ignored"
        return None

    def _not_entered(self, path: Path, followed: set[str]) -> str | None:
        if is_index(path):
            return "index"
        if not path.is_symlink():
            return None
        if not leads_out(path, self.root):
            return "linked folder"  # it is read at its own place
        if not self.selection.follow_links:
            return OUTSIDE
        target = os.path.realpath(path)
        # Once each, and nothing that holds the folder itself: that is how loops look.
        if target in followed or _is_within(os.path.realpath(self.root), target):
            return "linked folder"
        followed.add(target)
        return None

    def _not_read(self, path: Path) -> str | None:
        if not self.is_readable(path):
            return path.suffix.lower() or "no suffix"
        if not self.selection.follow_links and leads_out(path, self.root):
            return OUTSIDE
        if path.exists() and not path.is_file():
            return "special file"  # opening a pipe would wait for its writer
        return None


def leads_out(path: Path, folder: Path) -> bool:
    """Whether an entry of a folder is a link to something that is not in it."""
    return path.is_symlink() and not _is_within(os.path.realpath(path), os.path.realpath(folder))


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
