"""How messages count things."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, noun: str, several: str = "") -> str:
    """A number with its noun.

    Args:
        n: how many.
        noun: what one is.
        several: what others are, where an "s" does not make it.

    >>> counted(1, "passage"), counted(2400, "passage"), counted(0, "query", "queries")
    ('1 passage', '2,400 passages', '0 queries')
    """
    return f"{n:,} {noun if n == 1 else several or f'{noun}s'}"
