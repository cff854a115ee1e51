"""Files of a data set, plain or packed, line by line; every problem names its line."""

from __future__ import annotations

import gzip
import io
import reprlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO, cast

from unimoer_rag.errors import DataError
from unimoer_rag.json_lines import Line, UnboundedError, read_lines
from unimoer_rag.retrieval import clean_text

__all__ = [
    "cleaned",
    "filled_lines",
    "find_file",
    "malformed",
    "numbered_lines",
    "open_bytes",
    "open_text",
    "reading",
    "shown",
    "text_lines",
    "whole_lines",
]

_LONGEST = 2**26  # bytes of a line, which is a document at most
_MOST_BLANK = 10**6  # lines, one after the other: a packed file can hold any number

_SAID = 300  # characters of what was found
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 3


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
            yield io.BufferedReader(cast("io.RawIOBase", member), 2**16)
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


def whole_lines(file: IO[bytes], path: Path, *, most_blank: int | None = None) -> Iterator[Line]:
    """The lines of an open file, each of a bounded size.

    Raises:
        DataError: a line is too long, or see `read_lines`.
    """
    try:
        for line in read_lines(file, longest=_LONGEST, most_blank=most_blank):
            if not line.whole:
                found = f"a line of more than {_LONGEST:,} bytes"
                raise malformed(path, line.number, found, "one row a line")
            yield line
    except UnboundedError as error:
        raise DataError(f"{path}, {error}; expected one row a line") from error


def filled_lines(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank, each of a bounded size.

    Raises:
        DataError: the file cannot be read or is a damaged archive, a line is too long, or there is
            no end to blank lines.
    """
    with reading(path), open_bytes(path) as file:
        yield from whole_lines(file, path, most_blank=_MOST_BLANK)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text with their ends, each of a bounded size.

    Raises:
        DataError: the file cannot be read, is no UTF-8, a damaged archive, or a line is too long.
    """
    with reading(path), open_bytes(path) as file:
        for line in whole_lines(file, path):
            yield _decoded(line, path)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; blank ones are passed over.

    Raises:
        DataError: see `filled_lines`; or a line is no UTF-8.
    """
    for line in filled_lines(path):
        yield line.number, _decoded(line, path).rstrip("\r\n")


def _decoded(line: Line, path: Path) -> str:
    try:
        # utf-8-sig: files written on Windows often begin with a byte order mark.
        return line.content.decode("utf-8-sig" if line.number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {line.number}: not UTF-8 text ({error})") from error


def cleaned(value: Any) -> Any:
    """A JSON value, every string in it as `clean_text` leaves it."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): cleaned(item) for key, item in value.items()}
    return value


def shown(value: Any) -> str:
    """A value in a message: its beginning, whatever its size and depth."""
    return _SHORT.repr(value)


def malformed(path: Path, number: int, found: str, expected: str) -> DataError:
    """The error of a line that holds something else than it should."""
    return DataError(f"{path}, line {number}: found {found:.{_SAID}}; expected {expected}")


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
