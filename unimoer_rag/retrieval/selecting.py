"""Which files of a folder are its documents: globs, ignore files, and links that stay inside.

Globs are lines of a `.gitignore` (`*.log`, `drafts/`, `/build`, `**/old/*`, `!keep.log`), relative
to the folder that is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pathspec import GitIgnoreSpec

from unimoer_rag.errors import InputError

__all__ = ["DEFAULT", "IgnoreFiles", "Selection"]

_IGNORE_FILE = ".gitignore"
_MAX_IGNORE_BYTES = 1 << 20

# What tools put beside documents; a .gitignore may bring it back (`!node_modules/`).
_NEVER_DOCUMENTS = ("node_modules/", "__pycache__/")


@dataclass(frozen=True)
class Selection:
    """What is read of a folder.

    Attributes:
        include: globs, of which a file must match one; none for every file.
        exclude: globs of files and folders that are passed over.
        ignore_files: pass over what `.gitignore` files name: those in the folder and, in a Git
            repository, those above it; and `node_modules` and `__pycache__`.
        follow_links: read what links lead to outside the folder, too.
        ocr: read pictures, and pages of PDFs that have no text, by OCR, where the extra `ocr` is
            installed.

    Raises:
        InputError: a glob cannot be used.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    ignore_files: bool = True
    follow_links: bool = False
    ocr: bool = True

    def __post_init__(self) -> None:
        for name in ("include", "exclude"):
            globs = getattr(self, name)
            if isinstance(globs, str) or not all(isinstance(glob, str) for glob in globs):
                raise InputError(f"{name} is {globs!r}: expected a list of globs such as ['*.md']")
            for glob in globs:
                if not _is_glob(glob):
                    raise InputError(f"{name} {glob!r} is no glob: write it as in a .gitignore")

    @cached_property
    def _included(self) -> GitIgnoreSpec:
        return GitIgnoreSpec.from_lines(self.include)

    @cached_property
    def _excluded(self) -> GitIgnoreSpec:
        return GitIgnoreSpec.from_lines(self.exclude)

    def leaves_out(self, path: str) -> bool:
        """Whether the globs leave out a path below the folder; a folder's ends in "/"."""
        if self._excluded.match_file(path):
            return True
        return bool(self.include) and path[-1] != "/" and not self._included.match_file(path)


DEFAULT = Selection()


class _Rules(NamedTuple):
    folder: str  # its path, with "/" at the end
    spec: GitIgnoreSpec

    @classmethod
    def of(cls, folder: Path, globs: Iterable[str]) -> _Rules:
        return cls(f"{folder.as_posix().rstrip('/')}/", GitIgnoreSpec.from_lines(globs))


class IgnoreFiles:
    """The ignore files that hold for a folder and what is below it.

    Args:
        root: the folder that is read. Where ignore files above it name the folder itself, it was
            asked for against them, and they do not count.
    """

    def __init__(self, root: Path) -> None:
        self.problems: list[tuple[Path, str]] = []
        self._rules = {root: self._above(root)}

    def enter(self, folder: Path) -> None:
        """Take the rules of a folder; that above it was entered before, or it is the root."""
        above = self._rules[folder] if folder in self._rules else self._rules[folder.parent]
        self._rules[folder] = [*above, *self._read(folder)]

    def ignore(self, path: Path, *, is_folder: bool) -> bool:
        """Whether the files say that an entry of a folder that was entered is no document."""
        return _ignored(path.as_posix() + "/" * is_folder, self._rules[path.parent])

    def _above(self, root: Path) -> list[_Rules]:
        ours = [_Rules.of(root, _NEVER_DOCUMENTS)]
        folders = [root, *root.parents]
        repository = next((f for f in folders if (f / ".git").exists()), root)
        if repository == root:
            return ours
        above = folders[1 : folders.index(repository) + 1]
        found = [rules for folder in reversed(above) for rules in self._read(folder)]
        inside = [root, *above[:-1]]
        if any(_ignored(f"{folder.as_posix()}/", found) for folder in inside):
            return ours
        return ours + found

    def _read(self, folder: Path) -> Iterable[_Rules]:
        file = folder / _IGNORE_FILE
        if not file.is_file():
            return []
        try:
            with file.open("rb") as stream:
                text = stream.read(_MAX_IGNORE_BYTES).decode(errors="replace")
        except OSError as error:
            self.problems.append((file, error.strerror or str(error)))
            return []
        return [_Rules.of(folder, filter(_is_glob, text.splitlines()))]  # Git skips others too


def _ignored(path: str, rules: Iterable[_Rules]) -> bool:
    """As Git decides: the last line that matches counts, those of deeper folders last."""
    ignored = False
    for folder, spec in rules:
        matched = spec.check_file(path.removeprefix(folder)).include
        ignored = ignored if matched is None else matched
    return ignored


def _is_glob(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
