"""Reading through a store that gives its records by pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["scrolled"]

T = TypeVar("T")


def scrolled(page: Callable[[Any], tuple[Sequence[T], Any]]) -> Iterator[T]:
    """All records, read while they are asked for.

    Args:
        page: gives a page's records and where the next one begins, by where it begins itself; None
            begins and ends.
    """
    offset = None
    while True:
        records, offset = page(offset)
        yield from records
        if offset is None:
            return
