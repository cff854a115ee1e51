"""How long single calls take, and how many questions a second whole runs do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Timings"]


@dataclass(frozen=True, slots=True)
class Timings:
    """What was timed so far.

    Attributes:
        calls: milliseconds of single calls made one after the other, by name.
        stages: milliseconds of the stages inside such calls, by name.
        rates: questions a second over a whole run, by name.
    """

    calls: dict[str, list[float]] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    def time(self, name: str, calls: Sequence[Callable[[], object]]) -> None:
        """Make calls one after the other and keep their times; without any, nothing is kept."""
        for call in calls:
            started = time.perf_counter()
            call()
            elapsed = (time.perf_counter() - started) * 1000
            self.calls.setdefault(name, []).append(elapsed)

    @contextmanager
    def run(self, name: str, questions: int) -> Iterator[None]:
        """Time the block, in which so many questions are gone through."""
        started = time.perf_counter()
        yield
        self.rates[name] = round(questions / (time.perf_counter() - started), 3)

    def medians(self) -> dict[str, float]:
        """Median milliseconds of the single calls."""
        return {name: round(float(np.median(times)), 2) for name, times in self.calls.items()}

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Milliseconds that 50, 95 and 99 of 100 calls stay below, of calls and their stages."""
        return {
            name: {f"p{p}": round(float(np.percentile(times, p)), 2) for p in (50, 95, 99)}
            for name, times in {**self.calls, **self.stages}.items()
        }
