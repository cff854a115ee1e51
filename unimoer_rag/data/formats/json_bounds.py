"""A long JSON file, watched while it is read: how deep it goes, and how large its items are."""

from __future__ import annotations

import re
from typing import IO

from unimoer_rag.json_lines import UnboundedError

__all__ = ["MOST_LEVELS", "Watched"]

MOST_LEVELS = 100
"""Lists and objects in each other; official files have six."""

_LARGEST = 2**26  # bytes of an item
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b'"[]{}')


class Watched:
    """Reads a file, and counts brackets outside of strings on the way.

    A parser that builds what it reads has spent the memory before anybody can look at it.

    Args:
        file: JSON.
        level: lists and objects around an item.
    """

    def __init__(self, file: IO[bytes], *, level: int) -> None:
        self._file, self._level = file, level
        self._depth = self._size = 0
        self._in_string, self._rest = False, b""

    def read(self, n: int = -1) -> bytes:
        """Bytes of the file.

        Raises:
            UnboundedError: what they hold is too deep or too large.
        """
        data = self._file.read(n)
        self._watch(data)
        return data

    def _watch(self, data: bytes) -> None:
        marks = self._brackets(data)
        self._size += len(data)
        for mark in marks:
            self._depth += 1 if mark in b"[{" else -1
            if self._depth > MOST_LEVELS:
                raise UnboundedError(f"nested deeper than {MOST_LEVELS} lists and objects")
            if self._depth <= self._level:
                self._size = 0
        if self._size > _LARGEST:
            raise UnboundedError(f"an item of more than {_LARGEST:,} bytes")

    def _brackets(self, data: bytes) -> bytes:
        """The brackets among some bytes that stand in no string."""
        data = self._rest + data
        # A backslash at the end escapes what comes next, unless it is itself escaped.
        ends = len(data) - len(data.rstrip(b"\\"))
        data, self._rest = (data[:-1], b"\\") if ends % 2 else (data, b"")
        marks = _ESCAPED.sub(b"", data).translate(None, _NO_MARKS)
        if self._in_string:
            marks = b'"' + marks
        marks = _STRING.sub(b"", marks)
        marks, quote, _ = marks.partition(b'"')
        self._in_string = bool(quote)
        return marks
