"""A digest of a set of rows that needs neither their order nor all of them at once."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["SetDigest", "row_line"]


class SetDigest:
    """SHA-256 of every row, added modulo 2**256: the same rows in any order give the same.

    Clarke et al., "Incremental Multiset Hash Functions" (2003), MSet-Add-Hash without the key.
    It tells whether two sets are the same, not whether somebody forged one.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, row: Any) -> None:
        """Count a row in."""
        self._sum += int.from_bytes(hashlib.sha256(row_line(row)).digest())
        self._sum %= 2**256

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._sum:064x}"


def row_line(row: Any) -> bytes:
    """One line of JSON, which escapes line ends, so that rows cannot run into each other."""
    return json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n"
