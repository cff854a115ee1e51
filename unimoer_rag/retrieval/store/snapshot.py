"""A copy of an index for reading: of one that cannot be written, or that another process has open.

The engine opens files for writing even to read them, and no file twice. What is not a hole is
copied to a temporary folder, which goes when the copy is closed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from unimoer_rag.errors import IndexLockedError, StoreError
from unimoer_rag.retrieval.store.checksums import CHECKSUMS_NAME, extents
from unimoer_rag.retrieval.store.manifest import MANIFEST_NAME, read_manifest

__all__ = ["Snapshot"]

_CHUNK = 1 << 20
_ROOM = 16 << 20  # left free beside the copy


class Snapshot:
    """An index copied to a temporary folder.

    Args:
        folder: of the index.
        held: whether another process has it open; it must then be between two changes.

    Attributes:
        files: where the copy is.

    Raises:
        IndexLockedError: it is being changed.
        StoreError: it cannot be read, or there is no room for the copy.
    """

    def __init__(self, folder: Path, *, held: bool) -> None:
        self.files = Path(tempfile.mkdtemp(prefix="unimoer-index-"))
        self._finalizer = weakref.finalize(self, _remove, self.files, os.getpid())
        try:
            before = _state(folder)
            if held and read_manifest(folder).passages is None:
                raise _changing(folder)
            _check_room(folder, self.files)
            for file in [folder / MANIFEST_NAME, *(folder / "shard").rglob("*")]:
                target = self.files / file.relative_to(folder)
                if file.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _copy(file, target)
            if (folder / CHECKSUMS_NAME).is_file():
                _copy(folder / CHECKSUMS_NAME, self.files / CHECKSUMS_NAME)
            if held and _state(folder) != before:
                raise _changing(folder)
        except OSError as error:
            self.close()
            if held and isinstance(error, FileNotFoundError):
                raise _changing(folder) from error
            raise StoreError(
                f"index {str(folder)!r} cannot be copied for reading: {error}; make the folder "
                "writable, or set TMPDIR to a folder with room"
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the copy; closing twice is harmless."""
        self._finalizer()


def _state(folder: Path) -> tuple[int, int]:
    # The manifest is replaced before the first change and after the last: the same file, at both
    # ends of copying, says that nothing was changed between.
    status = (folder / MANIFEST_NAME).stat()
    return status.st_ino, status.st_mtime_ns


def _changing(folder: Path) -> IndexLockedError:
    return IndexLockedError(
        f"index {str(folder)!r} is being changed by another process: try again when it is done, "
        "or serve the index from a Qdrant server to share it"
    )


def _check_room(folder: Path, target: Path) -> None:
    files = (file.stat() for file in (folder / "shard").rglob("*") if file.is_file())
    needed = sum(512 * status.st_blocks for status in files) + _ROOM
    free = shutil.disk_usage(target).free
    if free < needed:
        raise StoreError(
            f"index {str(folder)!r} must be copied to be read here, which takes {needed >> 20} "
            f"MiB, and {str(target.parent)!r} has {free >> 20} MiB free: set TMPDIR to a folder "
            "with room, or serve the index from a Qdrant server"
        )


def _copy(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as written:
        size = os.fstat(read.fileno()).st_size
        written.truncate(size)
        for start, end in extents(read.fileno(), size):
            read.seek(start)
            written.seek(start)
            while start < end and (chunk := read.read(min(_CHUNK, end - start))):
                written.write(chunk)
                start += len(chunk)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child ends with its parent's finalizers
        shutil.rmtree(folder, ignore_errors=True)
