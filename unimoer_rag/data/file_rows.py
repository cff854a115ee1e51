"""Rows of JSON, each with its place: what is wrong with one names its file and line.

Strings come out as `clean_text` leaves them: with the same rule at every door, ids stay the same
ids.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from unimoer_rag.data.lines import cleaned, filled_lines, malformed, shown
from unimoer_rag.errors import DataError
from unimoer_rag.json_lines import json_object

__all__ = ["FileRow", "json_rows"]


class FileRow(NamedTuple):
    """A row of a file.

    Attributes:
        path: the file.
        number: of the line where it begins.
        fields: what it holds.
    """

    path: Path
    number: int
    fields: dict[str, Any]

    def first(self, *keys: str) -> str:
        """The first of these keys that the row has, or the first of all."""
        return next((key for key in keys if key in self.fields), keys[0])

    def id(self, key: str = "_id", *, taken: Container[str] = ()) -> str:
        """An id, as a string.

        Raises:
            DataError: there is none, or one that is `taken`.
        """
        value = self.fields.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise self.wrong(f"{key} {shown(value)}", "a non-empty string")
        if str(value) in taken:
            raise self.wrong(f"{key} {value!r} a second time", "unique ids")
        return str(value)

    def text(self, key: str = "text", *, default: str | None = None) -> str:
        """A text; where nothing is given, the default, if there is one.

        Raises:
            DataError: it is no string.
        """
        value = self.fields.get(key)
        if default is not None:
            value = value or default
        if not isinstance(value, str):
            raise self.wrong(f"{key} {shown(value)}", "a string")
        return value

    def question(self, key: str = "text") -> str:
        """A text that asks something.

        Raises:
            DataError: it is no string, or empty.
        """
        text = self.text(key)
        if not text.strip():
            raise self.wrong(f"an empty {key}", "a question")
        return text

    def strings(self, key: str) -> list[str]:
        """A list of strings.

        Raises:
            DataError: it is something else.
        """
        value = self.fields.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(f"{key} {shown(value)}", "a list of strings")
        return value

    def wrong(self, found: str, expected: str) -> DataError:
        """The error of a row that holds something else than it should."""
        return malformed(self.path, self.number, found, expected)


def json_rows(path: Path) -> Iterator[FileRow]:
    """The objects of a JSONL file.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object.
    """
    for line in filled_lines(path):
        row = json_object(line.content, what=f"{path}, line {line.number}")
        yield FileRow(path, line.number, cleaned(row))
