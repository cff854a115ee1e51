"""Timing side by side: every side runs in every round, in turns, after a warm-up."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Protocol

import numpy as np

from unimoer_rag.errors import InputError

__all__ = [
    "OnRun",
    "Seconds",
    "alternate",
    "check_rounds",
    "percentiles",
    "silent",
]


class Seconds(dict[str, list[float]]):
    """Wall seconds of each round, by side; the rounds are the same for all."""

    def medians(self) -> dict[str, float]:
        """Of each side's rounds."""
        return {name: median(taken) for name, taken in self.items()}

    def ratio(self, above: str, below: str) -> float:
        """The median over rounds of what one side took over what another took."""
        return round(median(a / b for a, b in zip(self[above], self[below], strict=True)), 4)

    def rounded(self) -> dict[str, list[float]]:
        """The same to milliseconds, as results keep them."""
        return {name: [round(second, 3) for second in taken] for name, taken in self.items()}


# Fewer say little of a machine that others use too.
_FEWEST = 5


class OnRun(Protocol):
    """Is told what runs, and of what runs in rounds which one; 0 is the warm-up."""

    def __call__(self, what: str, round_: int | None = None, /) -> None:
        """Take note."""


def silent(what: str, round_: int | None = None, /) -> None:
    """Tells nobody."""


def check_rounds(rounds: int) -> None:
    """Refuse too few rounds, which a long measurement does before it begins.

    Raises:
        InputError: there are fewer than 5.
    """
    if rounds < _FEWEST:
        raise InputError(f"rounds is {rounds}: expected {_FEWEST} or more")


def alternate(
    sides: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = _FEWEST,
    on_run: OnRun = silent,
) -> Seconds:
    """Time what several sides take for the same work.

    Each runs once unmeasured. Every round then runs each of them, in the order of the round before
    turned around, so that none has always the warmer machine.

    Args:
        sides: what runs, by name.
        rounds: measured runs of each side, 5 or more.
        on_run: called with the side and the round (0 is the warm-up) before each run.

    Raises:
        InputError: there are too few rounds.
    """
    check_rounds(rounds)
    seconds = Seconds((name, []) for name in sides)
    order = list(sides)
    for name in order:
        on_run(name, 0)
        sides[name]()
    gc.collect()
    gc.freeze()  # collecting between the runs looks at what they left alone
    try:
        for at in range(1, rounds + 1):
            order.reverse()
            for name in order:
                on_run(name, at)
                gc.collect()
                started = time.perf_counter()
                sides[name]()
                seconds[name].append(time.perf_counter() - started)
    finally:
        gc.unfreeze()
    return seconds


def percentiles(
    seconds: Sequence[float], points: Sequence[int] = (50, 95), *, digits: int = 1
) -> dict[str, float]:
    """Milliseconds that so many of 100 calls stay below: `{"p50": ..., "p95": ...}`."""
    return {f"p{p}": round(1000 * float(np.percentile(seconds, p)), digits) for p in points}
