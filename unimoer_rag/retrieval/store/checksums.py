"""`checksums.json`: a digest of each file of an index, for telling damage from an index.

It is written when an index that was changed is closed, and removed before the next change: where
it stands, it holds. A process that is killed in between leaves an index without one; the engine's
log then says what was stored, as it did before there were checksums.

| key | value |
|---|---|
| `engine` | version of the engine that wrote the files; another one may rewrite them |
| `files` | by path: size, and BLAKE2b of what is not zero; of `unimoer.json` that of its values |
| `checksum` | BLAKE2b of the two |
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from unimoer_rag.errors import IndexCorruptError
from unimoer_rag.files import write_file
from unimoer_rag.retrieval.store.manifest import MANIFEST_NAME, read_manifest

__all__ = [
    "CHECKSUMS_NAME",
    "OPENING_BYTES",
    "Checksums",
    "damaged",
    "extents",
    "has_checksums",
    "remove_checksums",
]

CHECKSUMS_NAME = "checksums.json"

OPENING_BYTES = 256 << 20
"""Read for checksums when an index is opened, small files first; `index verify` reads all."""

# The engine writes its settings anew at every opening, and refuses those that it cannot read.
_NOT_KEPT = ("shard/edge_config.json",)
_CHUNK = 1 << 16
_ZEROS = bytes(_CHUNK)


@dataclass(frozen=True, slots=True)
class Checksums:
    """Size and digest of each file of an index, by its path in the folder."""

    engine: str
    files: dict[str, tuple[int, str]]

    @classmethod
    def of(cls, folder: Path) -> Checksums:
        """Those of the files as they are now."""
        paths = sorted(p for p in (folder / "shard").rglob("*") if p.is_file())
        names = [MANIFEST_NAME, *(path.relative_to(folder).as_posix() for path in paths)]
        files = {name: _digest(folder / name) for name in names if name not in _NOT_KEPT}
        return cls(_engine_version(), files)

    @classmethod
    def read(cls, folder: Path) -> Checksums | None:
        """What was recorded; None where nothing is.

        Raises:
            IndexCorruptError: the record itself is damaged.
        """
        file = folder / CHECKSUMS_NAME
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            found = cls(content["engine"], {k: (n, d) for k, (n, d) in content["files"].items()})
            if content != found._content():
                raise ValueError("its own checksum differs")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise IndexCorruptError(
                f"{str(file)!r} is damaged ({error}): restore the index from a copy, or delete "
                "this file to open the index without checking it"
            ) from error
        return found

    def write(self, folder: Path) -> None:
        """Record them beside the index."""
        write_file(folder / CHECKSUMS_NAME, json.dumps(self._content(), indent=1) + "\n")

    def _content(self) -> dict[str, object]:
        content = {"engine": self.engine, "files": {k: [*v] for k, v in self.files.items()}}
        whole = json.dumps(content, sort_keys=True).encode()
        return {**content, "checksum": hashlib.blake2b(whole, digest_size=16).hexdigest()}

    @property
    def same_engine(self) -> bool:
        """Whether the engine that is installed wrote the files."""
        return self.engine == _engine_version()

    def differences(self, folder: Path, *, n_bytes: int | None = None) -> dict[str, str]:
        """The files that are missing or not as they were, and what is the matter with each.

        Args:
            folder: of the index.
            n_bytes: stop reading after about so many, small files first; None reads all.
        """
        wrong: dict[str, str] = {}
        used: dict[str, int] = {}
        for name, (size, _) in self.files.items():
            try:
                status = (folder / name).stat()
            except OSError:
                wrong[name] = f"{name} is missing"
                continue
            if size and status.st_size != size:
                wrong[name] = f"{name} has {status.st_size} bytes where {size} were written"
            else:
                used[name] = 512 * status.st_blocks
        left = n_bytes
        for name in sorted(used, key=used.__getitem__):
            if left is not None and (left := left - used[name]) < 0:
                break
            try:
                if _digest(folder / name) != self.files[name]:
                    wrong[name] = f"{name} is not as it was written"
            except OSError as error:  # a disk that gives out
                wrong[name] = f"{name} cannot be read ({error.strerror})"
        return wrong


def damaged(folder: Path, wrong: Sequence[str]) -> IndexCorruptError:
    """The error for an index with such `differences`."""
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return IndexCorruptError(
        f"index {str(folder)!r} is damaged: {wrong[0]}{more}; restore it from a copy, or "
        "delete the folder and index the documents again"
    )


def has_checksums(folder: Path) -> bool:
    """Whether there is a record of checksums."""
    return (folder / CHECKSUMS_NAME).is_file()


def remove_checksums(folder: Path) -> None:
    """Forget them, durably: files change from here on. Needs no room on the disk.

    Raises:
        OSError: the folder cannot be written.
    """
    with contextlib.suppress(FileNotFoundError):
        (folder / CHECKSUMS_NAME).unlink()
        if hasattr(os, "O_DIRECTORY"):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of the parts of an open file that are not holes."""
    if not hasattr(os, "SEEK_DATA"):
        yield 0, size
        return
    end = 0
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError:  # a hole up to the end
            return
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def _digest(file: Path) -> tuple[int, str]:
    if file.name == MANIFEST_NAME:
        # Of what it says: a value that is left out says what one that is not there says.
        content = json.dumps(asdict(read_manifest(file.parent)), sort_keys=True).encode()
        return 0, hashlib.blake2b(content, digest_size=16).hexdigest()
    digest, last = hashlib.blake2b(digest_size=16), -1
    with file.open("rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        for start, end in extents(opened.fileno(), size):
            # In whole chunks: what is a hole on one disk may be zeros on another.
            for at in range(max(start // _CHUNK, last + 1), -(-end // _CHUNK)):
                opened.seek(at * _CHUNK)
                chunk = opened.read(_CHUNK)
                last = at
                if chunk != _ZEROS[: len(chunk)]:
                    digest.update(at.to_bytes(8, "little"))
                    digest.update(chunk)
    return size, digest.hexdigest()


def _engine_version() -> str:
    return metadata.version("qdrant-edge-py")
