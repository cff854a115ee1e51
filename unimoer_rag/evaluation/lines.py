"""Files of a data set, plain or gzipped, line by line; every problem names its line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unimoer_rag.errors import DataError

__all__ = ["find_file", "json_rows", "malformed", "numbered_lines"]


def find_file(folder: Path, name: str) -> Path | None:
    """`name` or `name.gz` in the folder, whichever is there."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; blank ones are passed over.

    Raises:
        DataError: the file cannot be read, is no UTF-8, or a damaged gzip file.
    """
    number = 0
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        # utf-8-sig: files written on Windows often begin with a byte order mark.
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, after line {number}: not UTF-8 text ({error})") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}, after line {number}: a damaged gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered JSON objects, one a line.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object.
    """
    for number, line in numbered_lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise malformed(path, number, str(error), "one JSON object a line") from error
        if not isinstance(row, dict):
            raise malformed(path, number, f"a JSON {type(row).__name__}", "a JSON object")
        yield number, row


def malformed(path: Path, number: int, found: str, expected: str) -> DataError:
    """The error of a line that holds something else than it should."""
    return DataError(f"{path}, line {number}: found {found}; expected {expected}")
