"""Whether an index folder is whole: each file against its checksum, each passage against its id."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unimoer_rag.errors import (
    IndexCorruptError,
    IndexLockedError,
    InputError,
    StoredIndexError,
    StoreError,
)
from unimoer_rag.retrieval.store.checksums import Checksums
from unimoer_rag.retrieval.store.edge import EdgeStore
from unimoer_rag.retrieval.store.manifest import is_index, read_manifest
from unimoer_rag.wording import counted

__all__ = ["Verification", "verify_index"]


@dataclass(slots=True)
class Verification:
    """What was found.

    Attributes:
        index: the folder.
        passages: how many there are; None where it cannot be opened.
        files: compared with their checksums; 0 where there are none.
        problems: what is wrong, in words; empty where the index is whole.
        notes: what could not be compared, and why.
    """

    index: str
    passages: int | None = None
    files: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_index(folder: str | Path) -> Verification:
    """Read all of an index and compare it with what was written; nothing is changed.

    Raises:
        InputError: there is no index.
        IndexLockedError: another process is changing it.
        StoreError: it cannot be read.
    """
    path = Path(folder)
    if not is_index(path):
        read_manifest(path) if (path / "shard").is_dir() else None
        raise InputError(f"there is no index at {str(path)!r}: give the folder of one")
    found = Verification(str(path))
    try:
        _compare_files(path, found)
        if not found.problems:
            with EdgeStore(path, read_only=True) as store:
                _compare_passages(store, found)
    except IndexLockedError:
        raise
    except StoredIndexError as error:
        found.problems.append(str(error))
    return found


def _compare_files(path: Path, found: Verification) -> None:
    manifest = read_manifest(path)
    checksums = Checksums.read(path)
    if checksums is not None:
        found.problems += checksums.differences(path).values()
        found.files = len(checksums.files)
        return
    state = "a change was interrupted" if manifest.passages is None else "it was not closed"
    found.notes.append(
        f"there are no checksums: {state}, or an earlier release wrote it; the files cannot be "
        "compared, their passages can (checksums are written when the index is next closed)"
    )


def _compare_passages(store: EdgeStore, found: Verification) -> None:
    found.passages = store.count()
    n_read = n_wrong = 0
    try:
        for key, passage in store.entries():
            n_read += 1
            n_wrong += passage.id != key
    except (StoreError, IndexCorruptError, KeyError, TypeError, ValueError) as error:
        found.problems.append(f"a passage cannot be read: {error}")
    else:
        if n_read != found.passages:
            found.problems.append(
                f"{counted(n_read, 'passage')} can be read, and {found.passages} are there"
            )
    if n_wrong:
        found.problems.append(
            f"{n_wrong} of {n_read} passages do not hold the text that they were stored with"
        )
