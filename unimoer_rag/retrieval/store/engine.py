"""What can go wrong inside the embedded engine, as this library's errors."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from unimoer_rag.errors import IndexCorruptError, IndexLockedError, StoreError
from unimoer_rag.retrieval.store.lock import locked_message

__all__ = ["DELETE_BYTES", "RESERVE_BYTES", "check_space", "engine_errors", "load_errors"]

# The engine writes through memory maps of sparse files. When the disk fills under one, the
# system kills the process (SIGBUS), so it must never get that far: nothing is written unless
# this much room is left. It is the size of two log files, which a file system in memory may
# allocate when they are merely read; others need far less.
RESERVE_BYTES = 64 << 20

# Deletes, which are to make room, write a line of the log and a few bits.
DELETE_BYTES = 1 << 20

# The engine's errors carry the system's only in their text.
_SYSTEM_ERRORS = tuple(
    f"os error {code}"
    for code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EMFILE, errno.ENOMEM)
)


def check_space(folder: Path, n_bytes: int, *, reserve: int = RESERVE_BYTES) -> None:
    """Refuse a write of about `n_bytes` that could fill the disk.

    Raises:
        StoreError: less than that and `reserve` is free.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes + reserve:
        raise StoreError(
            f"the disk of index {str(folder)!r} is full: {free >> 20} MiB are free and "
            f"{(n_bytes + reserve >> 20) + 1} MiB are needed; what was stored before is "
            "kept: free some space and run it again"
        )


@contextlib.contextmanager
def engine_errors(folder: Path) -> Iterator[None]:
    """Turn the engine's and the system's errors into `StoreError`."""
    try:
        yield
    except BaseException as error:
        if not _is_engine_error(error):
            raise
        raise StoreError(_failure(folder, error)) from error


@contextlib.contextmanager
def load_errors(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while files are loaded into the error that explains it."""
    try:
        yield
    except BaseException as error:
        if not _is_engine_error(error):
            raise
        if "WouldBlock" in str(error):  # a program without our lock has the shard open
            raise IndexLockedError(locked_message(folder)) from error
        if isinstance(error, OSError) or any(code in str(error) for code in _SYSTEM_ERRORS):
            raise StoreError(_failure(folder, error)) from error
        raise IndexCorruptError(
            f"index {str(folder)!r} cannot be loaded ({error}); restore it from a copy, or delete "
            "the folder and index the documents again"
        ) from error


def _failure(folder: Path, error: BaseException) -> str:
    if f"os error {errno.ENOSPC}" in str(error) or getattr(error, "errno", 0) == errno.ENOSPC:
        return (
            f"the disk of index {str(folder)!r} is full ({error}); what was stored before is "
            "kept: free some space and run it again"
        )
    return f"index {str(folder)!r} failed: {error}"


def _is_engine_error(error: BaseException) -> bool:
    # The engine raises bare Exceptions, and its panics are not even those; programming errors,
    # interrupts and exits are left as they are.
    return (
        type(error) is Exception
        or isinstance(error, OSError)
        or type(error).__name__ == "PanicException"
    )
