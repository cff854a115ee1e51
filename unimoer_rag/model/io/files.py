"""Files of checkpoints: digests of what is read, errors that name what cannot be written."""

from __future__ import annotations

import hashlib
import stat
import time
from collections.abc import Callable
from pathlib import Path

from unimoer_rag.errors import CheckpointError
from unimoer_rag.files import write_file

__all__ = ["file_digest", "local_folder", "make_folder", "write_whole"]


# By what the file system says of a file: device, number, size and times.
_State = tuple[int, int, int, int, int]
_digests: dict[_State, str] = {}

# A file may change twice within a tick of its clock (two seconds on FAT): what is found of one that
# was only just written is not kept.
_SETTLED_NS = 2 * 10**9


def file_digest(path: Path, read: Callable[[Path], bytes] | None = None) -> str:
    """SHA-256 of a file, in hex; read once in a process while the file stays as it is.

    Args:
        path: the file.
        read: gives its content, where that is to be bounded or refused; by default all is read.

    Raises:
        OSError: it cannot be read.
    """
    before = _state(path)
    known = None if before is None else _digests.get(before)
    if known is not None:
        return known
    if read is None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    else:
        digest = hashlib.sha256(read(path)).hexdigest()
    if before is not None and time.time_ns() - max(before[-2:]) > _SETTLED_NS:
        _digests[before] = digest
    return digest


def _state(path: Path) -> _State | None:
    """What is another when a file has changed; None where it is no file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def local_folder(name: str) -> Path | None:
    """The folder that a name is the path of; None where it is none, or can be no path at all."""
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a NUL in it
        return None


def make_folder(path: Path) -> None:
    """Create a folder and its parents where they are missing.

    Raises:
        CheckpointError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"could not create the folder {path} ({error.strerror}): choose a folder you may write"
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        CheckpointError: the file could not be written; what was there before is untouched.
    """
    try:
        write_file(path, data)
    except OSError as error:
        raise CheckpointError(
            f"could not write {path} ({error.strerror}): free some space or choose another "
            "folder; nothing half-written is left"
        ) from error
