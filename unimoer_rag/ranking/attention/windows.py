"""Rankings of more passages than one prompt holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Score", "in_windows"]

Score = Callable[[Sequence[int]], NDArray[np.float32]]
"""Scores of some passages, shown together, by their positions."""


def in_windows(n: int, size: int, score: Score) -> NDArray[np.float32]:
    """Scores of n passages, of which at most `size` are shown together.

    Where all fit, they are the scores themselves. Else a window goes from the last passage to the
    first, half of it at a time, and its better half goes on with it (RankGPT, 2304.09542). Scores
    of different windows cannot be compared, as attention is shared among those that are shown: the
    places count then, n for the first and 1 for the last.

    Args:
        n: how many there are, in the order of an earlier stage, the best first.
        size: 2 or more.
        score: scores a window.

    Returns:
        float32 `[n]`.

    >>> in_windows(4, 2, lambda window: np.array(window, np.float32))  # the last is the best
    array([3., 2., 1., 4.], dtype=float32)
    """
    order = list(range(n))
    if n <= size:
        return score(order)
    end = n
    while True:
        start = max(0, end - size)
        window = order[start:end]
        best = np.argsort(-score(window), kind="stable")
        order[start:end] = [window[at] for at in best]
        if start == 0:
            break
        end -= size - size // 2
    places = np.empty(n, np.float32)
    places[order] = np.arange(n, 0, -1)
    return places
