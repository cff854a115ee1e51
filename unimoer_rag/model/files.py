"""Files whole or absent: digests of what is read, atomic writes of what is kept."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from unimoer_rag.errors import CheckpointError

__all__ = ["file_digest", "make_folder", "write_whole"]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    """Write beside, then rename: a reader, a crash or a full disk never leaves half a file.

    Raises:
        CheckpointError: the file could not be written; what was there before is untouched.
    """
    part: str | None = None
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may keep the name and lose the bytes
        # mkstemp makes files private; a checkpoint is read like any other file.
        Path(part).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise CheckpointError(
            f"could not write {path} ({error.strerror}): free some space or choose another "
            "folder; nothing half-written is left"
        ) from error
