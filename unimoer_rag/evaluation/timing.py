"""How long single calls take, and how many questions a second whole runs do.

A call is cold where nothing is kept from the calls before it, warm where what they encoded is. Only
cold ones are compared: a warm answer may take less time than the reranking inside a cold one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Timings"]


@dataclass(frozen=True, slots=True)
class Timings:
    """What was timed so far.

    Attributes:
        calls: milliseconds of cold single calls made one after the other, by name.
        stages: milliseconds of the stages inside such calls, by name.
        warm: milliseconds of warm calls and of their stages, by name.
        rates: questions a second over a whole run, by name.
    """

    calls: dict[str, list[float]] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)
    warm: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    def time(
        self,
        name: str,
        calls: Sequence[Callable[[], object]],
        *,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """Make calls one after the other and keep their times; without any, nothing is kept.

        Args:
            name: of the calls.
            calls: what is timed.
            before: made before each, and not timed: forgets what earlier calls left.
        """
        for call in calls:
            before()
            started = time.perf_counter()
            call()
            elapsed = (time.perf_counter() - started) * 1000
            self.calls.setdefault(name, []).append(elapsed)

    def note(self, name: str, stages: Mapping[str, float], *, cold: bool) -> None:
        """Keep the times of a call that timed itself.

        Args:
            name: of the call.
            stages: milliseconds of its stages, and of all of it as "total".
            cold: whether nothing was kept from the calls before.
        """
        for stage, elapsed in stages.items():
            calls = self.calls if stage == "total" else self.stages
            key = name if stage == "total" else f"{name}/{stage}"
            (calls if cold else self.warm).setdefault(key, []).append(elapsed)

    @contextmanager
    def run(self, name: str, questions: int) -> Iterator[None]:
        """Time the block, in which so many questions are gone through."""
        started = time.perf_counter()
        yield
        self.rates[name] = round(questions / (time.perf_counter() - started), 3)

    def medians(self) -> dict[str, float]:
        """Median milliseconds of the cold single calls."""
        return {name: round(float(np.median(times)), 2) for name, times in self.calls.items()}

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Milliseconds that 50, 95 and 99 of 100 cold calls stay below, and their stages."""
        return _percentiles({**self.calls, **self.stages})

    def warm_percentiles(self) -> dict[str, dict[str, float]]:
        """`percentiles` of the warm calls."""
        return _percentiles(self.warm)


def _percentiles(milliseconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {
        name: {f"p{p}": round(float(np.percentile(times, p)), 2) for p in (50, 95, 99)}
        for name, times in milliseconds.items()
    }
