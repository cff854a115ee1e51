"""Files of a data set, plain or packed, line by line; every problem names its line."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO, cast

from unimoer_rag.errors import DataError

__all__ = [
    "find_file",
    "json_rows",
    "malformed",
    "numbered_lines",
    "open_bytes",
    "open_text",
    "reading",
    "row_id",
    "row_text",
]


def find_file(folder: Path, name: str) -> Path | None:
    """`name` or `name.gz` in the folder, whichever is there."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """A file's content: plain, or packed as `.gz` or as the only file of a `.zip`.

    Raises:
        DataError: a zip archive holds several files, or none.
        OSError, EOFError, zlib.error, BadZipFile: see `reading`.
    """
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as packed:
            yield cast("IO[bytes]", packed)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(_only_file(path, archive)) as member:
            yield member
    else:
        with path.open("rb") as plain:
            yield plain


@contextmanager
def open_text(path: Path, *, newline: str | None = None) -> Iterator[TextIO]:
    """`open_bytes`, as UTF-8 text."""
    with open_bytes(path) as file:
        # utf-8-sig: files written on Windows often begin with a byte order mark.
        yield io.TextIOWrapper(file, encoding="utf-8-sig", newline=newline)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tell what is wrong with a file that cannot be read or unpacked.

    Raises:
        DataError: in place of what reading its text raises.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error})") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: a damaged gzip file ({error})") from error
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: a damaged zip file ({error})") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; blank ones are passed over.

    Raises:
        DataError: the file cannot be read, is no UTF-8, or a damaged archive.
    """
    with reading(path), open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line.rstrip("\r\n")


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered JSON objects, one a line.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object.
    """
    for number, line in numbered_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # no JSON, or too deep or long a number
            raise malformed(path, number, str(error), "one JSON object a line") from error
        if not isinstance(row, dict):
            raise malformed(path, number, f"a JSON {type(row).__name__}", "a JSON object")
        yield number, row


def row_id(
    row: dict[str, Any], path: Path, number: int, *, key: str = "_id", taken: Container[str] = ()
) -> str:
    """A row's id, as a string.

    Raises:
        DataError: it has none, or one that is `taken`.
    """
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise malformed(path, number, f"{key} {value!r}", "a non-empty string")
    if str(value) in taken:
        raise malformed(path, number, f"{key} {value!r} a second time", "unique ids")
    return str(value)


def row_text(row: dict[str, Any], path: Path, number: int, *, key: str = "text") -> str:
    """A row's text.

    Raises:
        DataError: it is no string.
    """
    value = row.get(key)
    if not isinstance(value, str):
        raise malformed(path, number, f"{key} {value!r}", "a string")
    return value


def malformed(path: Path, number: int, found: str, expected: str) -> DataError:
    """The error of a line that holds something else than it should."""
    return DataError(f"{path}, line {number}: found {found}; expected {expected}")


def _only_file(path: Path, archive: zipfile.ZipFile) -> str:
    """The name of the file in an archive; what macOS adds to one does not count."""
    names = [
        entry.filename
        for entry in archive.infolist()
        if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
    ]
    if len(names) != 1:
        raise DataError(f"{path} holds {len(names)} files: unpack it and name the one to read")
    return names[0]
