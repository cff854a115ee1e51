"""What a retriever's searches took and were spared, counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock

__all__ = ["Counter", "SearchStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStats:
    """Queries counted.

    Attributes:
        searches: queries answered.
        reranked: whose results were reranked.
        skipped: whose results `rerank="auto"` left in the first stage's order.
        exact: answered from the query cache, by the same words.
        semantic: answered from the query cache, by those of a near query.
    """

    searches: int = 0
    reranked: int = 0
    skipped: int = 0
    exact: int = 0
    semantic: int = 0

    @property
    def share_skipped(self) -> float:
        """Of the queries that could have been reranked, the share that was not; 0 without any."""
        return self.skipped / max(1, self.skipped + self.reranked)


class Counter:
    """Adds up `SearchStats` of many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stats = SearchStats()

    @property
    def stats(self) -> SearchStats:
        """The sums so far."""
        return self._stats

    def count(self, **more: int) -> None:
        """Add to the sums, by their names."""
        with self._lock:
            sums = {name: getattr(self._stats, name) + n for name, n in more.items()}
            self._stats = replace(self._stats, **sums)
