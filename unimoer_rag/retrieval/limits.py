"""How much a file may cost: bounds that hold before the memory is taken.

A few hundred kilobytes can unpack to gigabytes. What is legitimate stays far below these bounds;
what is above them is refused with its size, never read half and indexed as if it were whole.
"""

from __future__ import annotations

from typing import IO

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PICTURES",
    "MAX_PIXELS",
    "MAX_TEXT_BYTES",
    "MAX_UNPACKED_BYTES",
    "TooLargeError",
    "in_mebibytes",
    "read_bounded",
]

_MIB = 1 << 20

MAX_FILE_BYTES = 512 * _MIB
"""Of a file that is read whole: PDFs and office files hold pictures, so it is generous."""

MAX_TEXT_BYTES = 128 * _MIB
"""Of text: a plain file, or what a reader makes of another format. Some 60,000 pages."""

MAX_UNPACKED_BYTES = 256 * _MIB
"""Of everything that one reader unpacks from one archive."""

MAX_LINE_BYTES = 16 * _MIB
"""Of one line of a JSONL file, packed or not: read, JSON may take thirty times its size."""


MAX_PIXELS = 80_000_000
"""Of a picture, or of all pictures on a page: a sheet of A3 at 600 dpi has 70 million."""

MAX_PICTURES = 2000
"""Pages of one file that are read by OCR, at some seconds each."""


class TooLargeError(ValueError):
    """Something is larger than its bound; the message says what and by how much."""


def in_mebibytes(n_bytes: int) -> str:
    """A bound as people read it.

    >>> in_mebibytes(MAX_TEXT_BYTES)
    '128 MiB'
    """
    return f"{n_bytes / _MIB:.3g} MiB"


def read_bounded(stream: IO[bytes], limit: int, what: str) -> bytes:
    """Everything left in a stream, which may unpack it as it is read.

    Args:
        stream: what to read.
        limit: most bytes to take; one more is read, never all of what is too large.
        what: names it in the message.

    Raises:
        TooLargeError: there are more bytes.
    """
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(f"{what} is larger than {in_mebibytes(limit)}")
    return data
