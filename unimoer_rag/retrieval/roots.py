"""What an index calls the folders that it was given, so that no two share a name.

Sources begin with the name of the folder they were found in. The index remembers which folder each
name stands for; another folder of that name is called by more of its path, `b/docs` beside `docs`.
A folder that is gone from where it was has been moved, and whatever comes under its name is taken
for it. What lies in a folder that is known is named from there, also when a folder around is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from unimoer_rag.retrieval.naming import Naming
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.text import clean_name

__all__ = ["Root", "Roots"]

_KEY = "roots"  # in the index's identity, which ignores it when indexes are compared


class Root(NamedTuple):
    """A folder of documents.

    Attributes:
        name: what sources call it.
        folder: where it is.
        walked: it was given itself, not only files in it.
        follows: its name follows from that of a folder around it, so nobody needs to remember it.
    """

    name: str
    folder: Path
    walked: bool
    follows: bool = False


class Roots:
    """The folders that an index knows.

    Args:
        store: the index.
        home: its folder, where it has one: places are kept relative to it, so that an index may
            be moved or copied together with its documents.
    """

    def __init__(self, store: Store, home: Path | None) -> None:
        self._store = store
        self._home = None if home is None else os.path.abspath(home)

    def of(self, path: str | Path) -> Root:
        """The folder of a path (that of a file, if it is one), with the name that it has or gets.

        Nothing is recorded; see `remember`.
        """
        path = Path(os.path.abspath(path))
        walked = path.is_dir()
        folder = path if walked else path.parent
        known = list(self.known())
        for root in known:
            if _same(root.folder, folder):
                # What lies deeper has its names already if a folder around was walked.
                walked = walked and _from_around(folder, known) is None
                return root._replace(walked=walked or root.walked)
        name = _from_around(folder, known)
        if name is not None:
            return Root(name, folder, walked, follows=True)
        there = [root for root in known if root.folder.is_dir()]
        names = _names(folder)
        free = (name for name in names if not any(_clash(name, folder, root) for root in there))
        return Root(next(free, names[-1]), folder, walked)

    def naming(self, path: str | Path) -> Naming:
        """What sources call the files of a path, those in known folders by these folders' names."""
        path = Path(os.path.abspath(path))
        root = self.of(path)
        if not path.is_dir():
            return Naming(root.name)
        known = list(self.known())
        deep: dict[PurePath, str] = {}
        flat: dict[PurePath, str] = {}
        for other in known:
            below = _below(other.folder, path)
            if below is not None and below.parts:
                (deep if other.walked else flat)[below] = other.name
        around = None if root.walked else _from_around(root.folder, known)
        if around is None:
            return Naming(root.name, deep, flat)
        return Naming(around, deep, {PurePath(): root.name, **flat})

    def remember(self, root: Root) -> None:
        """Keep a folder's name."""
        known = {known.name: known for known in self.known()}
        if root.follows or known.get(root.name) == root:
            return
        known[root.name] = root
        kept = {one.name: self._kept(one) for one in known.values()}
        self._store.set_identity({**(self._store.identity() or {}), _KEY: kept})

    def known(self) -> Iterator[Root]:
        """All of them, whether they are still there or not."""
        kept = (self._store.identity() or {}).get(_KEY, {})
        for name, place in kept.items() if isinstance(kept, Mapping) else ():
            if isinstance(place, Mapping) and isinstance(place.get("folder"), str):
                folder = os.path.normpath(os.path.join(self._home or "", place["folder"]))
                yield Root(name, Path(folder), bool(place.get("walked")))

    def _kept(self, root: Root) -> dict[str, Any]:
        folder = str(root.folder)
        if self._home is not None:
            try:
                folder = PurePath(os.path.relpath(folder, self._home)).as_posix()
            except ValueError:  # another drive
                folder = root.folder.as_posix()
        return {"folder": folder, "walked": root.walked}


def _from_around(folder: Path, known: Sequence[Root]) -> str | None:
    """A folder's name from the nearest that was walked around it."""
    around = [
        root
        for root in known
        if root.walked and root.folder != folder and folder.is_relative_to(root.folder)
    ]
    if not around:
        return None
    nearest = max(around, key=lambda root: len(root.folder.parts))
    return clean_name(f"{nearest.name}/{folder.relative_to(nearest.folder).as_posix()}")


def _below(path: Path, folder: Path) -> PurePath | None:
    """A path from a folder that it lies in, as written or behind links."""
    real = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    for one, other in ((path, folder), real):
        if one.is_relative_to(other):
            return PurePath(one.relative_to(other))
    return None


def _names(folder: Path) -> list[str]:
    """The folder's own name, then with its parents', one more each time."""
    parts = [clean_name(part) for part in folder.parts if part != folder.anchor]
    return ["/".join(parts[at:]) for at in reversed(range(len(parts)))] or [""]


def _clash(name: str, folder: Path, other: Root) -> bool:
    """Whether two folders under these names would give different files one source."""
    ours, theirs = PurePath(name).parts, PurePath(other.name).parts
    n = min(len(ours), len(theirs))
    if ours[:n] != theirs[:n]:
        return False
    return folder.joinpath(*theirs[n:]) != other.folder.joinpath(*ours[n:])


def _same(one: Path, other: Path) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
