"""How long single calls take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

__all__ = ["median_ms"]


def median_ms(name: str, calls: Sequence[Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of calls made one after the other, under a name; empty without any."""
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return {name: round(statistics.median(times), 2)} if times else {}
