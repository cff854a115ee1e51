"""Settings that several components take."""

from __future__ import annotations

from unimoer_rag.errors import InputError

__all__ = ["check_threshold", "check_top_k"]


def check_top_k(top_k: int | None) -> None:
    """Refuse a number of results that no list can have.

    Raises:
        InputError: it is no whole number from 1 up.
    """
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise InputError(f"top_k is {top_k!r}: expected how many to give, 1 or more, or None")


def check_threshold(threshold: float | None) -> None:
    """Refuse a least score that compares with nothing.

    Raises:
        InputError: it is no number.
    """
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and (not number or threshold != threshold):
        raise InputError(f"score_threshold is {threshold!r}: expected the least score, or None")
