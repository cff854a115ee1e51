"""Files of one row a line, JSON above all: the one reader of them, whatever room the rows are for.

A line ends at "\\n" alone: what Unicode calls a line separator may stand in a text. A packed file
of a few kilobytes can hold any number of bytes and blank lines, so whoever reads says how many it
takes; one line is in memory at a time. What is wrong is told by number, and who reads decides
whether that ends the reading (data sets) or the row alone (an index).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from unimoer_rag.errors import DataError
from unimoer_rag.json_text import parse_json

__all__ = ["EndlessError", "Line", "UnboundedError", "json_object", "read_lines"]

_NOTHING = b" \t\r\n\x0b\x0c\xef\xbb\xbf"  # spaces, and a byte order mark


class UnboundedError(ValueError):
    """There is more of something than was agreed to; the message says of what."""


class EndlessError(UnboundedError):
    """A file holds more bytes than were agreed to."""


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: from 1.
        start: bytes before it.
        content: with its end; of one that is too long, the beginning.
        whole: it is not too long.
    """

    number: int
    start: int
    content: bytes
    whole: bool


def read_lines(
    file: IO[bytes], *, longest: int, most_blank: int | None = None, most: float = math.inf
) -> Iterator[Line]:
    """The lines of a file.

    Args:
        file: which may unpack what it reads.
        longest: bytes of a line, without its end. The rest of a longer one is passed over.
        most_blank: pass over blank lines, so many in a row; None keeps them all.
        most: bytes of the file.

    Raises:
        UnboundedError: more lines in a row are blank.
        EndlessError: the file holds more.
    """
    number = n_blank = at = 0
    begun = False
    while piece := file.readline(longest + 1):
        ends = piece.endswith(b"\n")
        if not begun:
            number += 1
            whole = len(piece) <= longest + ends
            if most_blank is None or not whole or piece.strip(_NOTHING):
                n_blank = 0
                yield Line(number, at, piece, whole)
            else:
                n_blank += 1
                if n_blank > most_blank:
                    raise UnboundedError(f"line {number}: found {n_blank:,} blank lines in a row")
        begun = not ends
        at += len(piece)
        if at > most:
            raise EndlessError(f"more than {most:,.0f} bytes")


def json_object(line: str | bytes, *, what: str) -> dict[str, Any]:
    """The object of a line; see `parse_json`.

    Args:
        line: JSON.
        what: names the line in messages: its file and number.

    Raises:
        DataError: the line is no JSON, or another value.

    >>> json_object('{"text": "refunds"}', what="a.jsonl, line 3")
    {'text': 'refunds'}
    """
    try:
        row = parse_json(line, what=what, error=DataError)
    except DataError as error:
        raise DataError(f"{error}; expected one JSON object a line") from error
    if not isinstance(row, dict):
        raise DataError(f"{what}: found a JSON {type(row).__name__}; expected a JSON object")
    return row
