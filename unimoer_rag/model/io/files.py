"""Files of checkpoints: digests of what is read, errors that name what cannot be written."""

from __future__ import annotations

import hashlib
from pathlib import Path

from unimoer_rag.errors import CheckpointError
from unimoer_rag.files import write_file

__all__ = ["file_digest", "local_folder", "make_folder", "write_whole"]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
