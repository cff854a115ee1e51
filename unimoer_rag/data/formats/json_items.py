"""The items of a long JSON array, one after the other: official files hold gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unimoer_rag.data.formats.json_bounds import Watched
from unimoer_rag.data.lines import cleaned, open_bytes, reading
from unimoer_rag.errors import DataError
from unimoer_rag.extras import needs_extra

__all__ = ["json_items", "wrong_item"]


def json_items(path: Path, prefix: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered objects of an array, from 1, their strings as `clean_text` leaves them.

    Args:
        path: a JSON file.
        prefix: where its array is, as ijson names it: "item" where the file is the array.

    Raises:
        DataError: the file cannot be read or is no JSON, or an item is no object.
        MissingExtraError: ijson is not installed.
    """
    with needs_extra("ijson", "eval", "reading official TriviaQA and HotpotQA files"):
        import ijson
    with reading(path), open_bytes(path) as file:
        try:
            watched = Watched(file, level=prefix.count(".") + 1)
            for number, item in enumerate(ijson.items(watched, prefix, use_float=True), start=1):
                if not isinstance(item, dict):
                    raise wrong_item(path, number, f"a JSON {type(item).__name__}", "an object")
                yield number, cleaned(item)
        except (ijson.JSONError, ValueError) as error:  # no JSON, unbounded, too long a number
            raise DataError(f"{path}: no valid JSON ({error})") from error


def wrong_item(path: Path, number: int, found: str, expected: str) -> DataError:
    """The error of an item that holds something else than it should."""
    return DataError(f"{path}, item {number}: found {found:.300}; expected {expected}")
