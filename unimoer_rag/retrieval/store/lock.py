"""One process at a time holds an index folder."""

from __future__ import annotations

import errno
from pathlib import Path

from filelock import FileLock, Timeout

from unimoer_rag.errors import IndexLockedError, StoreError

__all__ = ["LOCK_NAME", "lock_folder", "locked_message"]

LOCK_NAME = ".lock"

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def lock_folder(folder: Path) -> FileLock | None:
    """Take the folder's lock at once or not at all; the system frees it if the process dies.

    Returns:
        The lock; None where the folder cannot be written.

    Raises:
        IndexLockedError: someone holds it.
        StoreError: it cannot be locked for another reason.
    """
    # Not thread-local: a store may be closed by another thread than the one that opened it.
    lock = FileLock(folder / LOCK_NAME, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise IndexLockedError(locked_message(folder)) from None
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            return None
        raise StoreError(
            f"index {str(folder)!r} cannot be locked: {error}; make the folder writable or copy "
            "the index to where it is"
        ) from error
    return lock


def locked_message(folder: Path) -> str:
    """What is the matter with a held index, and what to do."""
    return (
        f"index {str(folder)!r} is in use by another process (or another store in this one); "
        "close that first, open this one with read_only=True, or serve the index from a Qdrant "
        "server to share it"
    )
