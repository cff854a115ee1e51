"""How far long work is, for whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "silent"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and its size, or 0 where unknown."""


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
