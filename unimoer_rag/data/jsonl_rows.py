"""Rows of a file that may be larger than memory, each read when it is asked for."""

from __future__ import annotations

import hashlib
import mmap
import shutil
import weakref
from array import array
from pathlib import Path
from typing import Any, Protocol

from unimoer_rag.data.by_place import ByPlace
from unimoer_rag.data.lines import open_bytes, reading, whole_lines
from unimoer_rag.errors import DataError
from unimoer_rag.files import replacing
from unimoer_rag.json_lines import json_object

__all__ = ["JsonlRows", "Rows"]


class Rows(Protocol):
    """Numbered rows of a data set, read from disk one at a time."""

    @property
    def digest(self) -> str:
        """Tells rows from other rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict[str, Any]: ...

    def place(self, index: int) -> str:
        """Where a row stands, for messages."""


class JsonlRows(ByPlace[dict[str, Any]]):
    """The objects of a JSONL file.

    Opening reads the file once, for its digest and where its lines begin: 16 bytes of memory a
    row. A packed file (`.jsonl.gz`) is unpacked into `cache` first, once for each content.

    Args:
        path: the file.
        cache: folder for unpacked files.

    Raises:
        DataError: the file cannot be read, has no lines, or one that is longer than any row.
    """

    def __init__(self, path: Path, *, cache: Path) -> None:
        self._path = path
        with reading(path):
            plain = _unpacked(path, cache) if path.suffix == ".gz" else path
            self._starts, self._numbers, self.digest = _scan(plain, path)
            if not self._starts:
                raise DataError(f"{path} is empty: expected one JSON object a line")
            with plain.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        weakref.finalize(self, self._bytes.close)

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, place: int) -> dict[str, Any]:
        """The object of a line."""
        start = self._starts[place]
        end = self._bytes.find(b"\n", start)
        line = self._bytes[start : end if end >= 0 else len(self._bytes)]
        return json_object(line, what=self.place(place))

    def place(self, index: int) -> str:
        """The file and line of a row."""
        return f"{self._path}, line {self._numbers[index]}"


def _scan(plain: Path, path: Path) -> tuple[array[int], array[int], str]:
    """Where the lines that are not blank begin, their numbers, and the SHA-256 of all of them."""
    starts, numbers, digest = array("q"), array("q"), hashlib.sha256()
    with plain.open("rb") as file:
        for line in whole_lines(file, path):
            digest.update(line.content)
            if line.content.strip():
                starts.append(line.start)
                numbers.append(line.number)
    return starts, numbers, digest.hexdigest()


def _unpacked(path: Path, cache: Path) -> Path:
    """The content of a packed file in the cache, by the packed file's digest."""
    with path.open("rb") as packed:
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
    target = cache / f"{digest[:32]}.jsonl"
    if not target.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part, open_bytes(path) as source, part.open("wb") as file:
            shutil.copyfileobj(source, file, 2**20)
    return target
