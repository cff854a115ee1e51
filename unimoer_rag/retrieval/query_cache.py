"""Answers to earlier queries, given again: to the same query, or to one that is near it.

A search asks the cache twice: before the query is embedded for the very same words (`Lookup.left`
are those that are unknown), and with its vector for words that mean about the same
(`Lookup.near`). What was found for the rest is told to it at the end (`Lookup.finish`).

Nearness is the cosine of the query vectors, as in GPTCache (Bang, "GPTCache: An Open-Source
Semantic Cache for LLM Applications", NLP-OSS 2023).
"""

from __future__ import annotations

import copy
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.search import Search
from unimoer_rag.retrieval.store.filters import parse_filters
from unimoer_rag.retrieval.types import Hit

__all__ = ["Lookup", "QueryCache"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was found for a query.

    Attributes:
        query: its words, as they were asked.
        scope: how it was looked for.
        hits: what was found.
        slot: row of its vector; None where it has none.
        stored: when, by the cache's clock.
    """

    query: str
    scope: Hashable
    hits: list[Hit]
    slot: int | None
    stored: float


class QueryCache:
    """The hits of the last queries, for a `UnifiedRetriever`: `UnifiedRetriever(query_cache=...)`.

    A query that was asked before in the same settings gets the hits it got then; whitespace around
    and between its words, and how its letters are composed, make no difference. With `semantic`, so
    does a query whose vector is that near to one asked before. **It then gets what was found for
    other words**: "opening hours on Sunday" and "opening hours on Monday" are near each other. Such
    hits say so in `Hit.from_query`.

    Whatever its retriever writes empties the cache, and nothing is kept that was looked for
    meanwhile. Others' writes to a server are not seen: give `ttl` there. (An index in a folder is
    open in one process only.)

    Args:
        entries: queries kept; the one that was not asked for longest goes first. 0 keeps none.
        semantic: least cosine of a near query, in (0, 1]; None for the same words alone. Searches
            by BM25 alone have no vectors and find the same words alone.
        ttl: seconds after which an entry is no longer given; None for no end.
        clock: gives the time in seconds.

    Raises:
        InputError: a number cannot be used.

    >>> cache = QueryCache(1000, semantic=0.97, ttl=60)
    >>> UnifiedRetriever(index="handbook.index", query_cache=cache)    # doctest: +SKIP
    """

    def __init__(
        self,
        entries: int = 1000,
        *,
        semantic: float | None = None,
        ttl: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(entries, bool) or not isinstance(entries, int) or entries < 0:
            raise InputError(f"entries is {entries!r}: expected a number of queries to keep, or 0")
        if semantic is not None and not 0 < semantic <= 1:
            raise InputError(f"semantic is {semantic!r}: expected a cosine in (0, 1], or None")
        if ttl is not None and not ttl > 0:
            raise InputError(f"ttl is {ttl!r}: expected seconds above 0, or None")
        self.entries, self.semantic, self.ttl = entries, semantic, ttl
        self._clock = clock
        self._lock = RLock()
        self._kept: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._vectors = _Rows(entries)
        self._attached = False
        # Counts writes: what was looked for before one began is not kept after it.
        self._version = 0
        self._writers = 0

    def __len__(self) -> int:
        return len(self._kept)

    def attach(self) -> None:
        """Let a retriever take this cache for its own.

        Raises:
            InputError: another one has it, whose hits would be given for this one's.
        """
        with self._lock:
            if self._attached:
                raise InputError("query_cache belongs to another retriever: make one for each")
            self._attached = True

    def clear(self) -> None:
        """Forget everything, as after a write that the cache's retriever has not made."""
        with self._lock:
            self._version += 1
            self._kept.clear()
            self._vectors = _Rows(self.entries)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A block that changes what searches find: nothing is given or kept until its end."""
        with self._lock:
            self._writers += 1
            self.clear()
        try:
            yield
        finally:
            with self._lock:
                self._writers -= 1
                self.clear()

    def look_up(self, plan: Search) -> Lookup:
        """Begin a search: what is known of its queries by their very words.

        Raises:
            InputError: the search has filters that cannot be used.
        """
        filters = repr(parse_filters(plan.filters))
        scope = (plan.k, plan.depth, plan.auto, plan.mode, filters)
        with self._lock:
            known = [self._give((scope, _normal(query))) for query in plan.queries]
            return Lookup(self, plan, scope, known, self._version)

    def nearest(self, scope: Hashable, vector: Floats) -> list[Hit] | None:
        """What was found for the nearest query in a scope, if it is near enough."""
        if self.semantic is None:
            return None
        with self._lock:
            for key in self._vectors.near(vector, self.semantic):
                entry = self._kept[key]
                if entry.scope == scope and (hits := self._give(key)) is not None:
                    return [replace(hit, from_query=entry.query) for hit in hits]
        return None

    def keep(
        self, scope: Hashable, query: str, vector: Floats | None, hits: Sequence[Hit], version: int
    ) -> None:
        """Keep what was found for a query, unless something was written since `version`."""
        with self._lock:
            if version != self._version or self._writers or not self.entries:
                return
            key = (scope, _normal(query))
            self._drop(key)
            if len(self._kept) == self.entries:
                self._drop(next(iter(self._kept)))
            semantic = vector is not None and self.semantic is not None
            slot = self._vectors.put(key, vector) if vector is not None and semantic else None
            self._kept[key] = _Entry(query, scope, _copied(hits), slot, self._clock())

    def _give(self, key: Hashable) -> list[Hit] | None:
        entry = self._kept.get(key)
        if entry is None or self._writers:
            return None
        if self.ttl is not None and self._clock() - entry.stored >= self.ttl:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return _copied(entry.hits)

    def _drop(self, key: Hashable) -> None:
        entry = self._kept.pop(key, None)
        if entry is not None and entry.slot is not None:
            self._vectors.drop(entry.slot)


class _Rows:
    """Vectors of length 1 in the rows of one matrix, by key.

    Args:
        rows: how many there can be.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._keys: list[Hashable] = []  # of the rows; None for one that is free
        self._free: list[int] = []
        self._matrix: Floats | None = None

    def put(self, key: Hashable, vector: Floats) -> int:
        """Take a free row for a vector; gives its number."""
        if self._matrix is None:
            self._matrix = np.zeros((self._rows, len(vector)), dtype=np.float32)
        if not self._free:
            self._free.append(len(self._keys))
            self._keys.append(None)
        row = self._free.pop()
        self._keys[row], self._matrix[row] = key, _unit(vector)
        return row

    def drop(self, row: int) -> None:
        """Free a row."""
        self._keys[row] = None
        self._free.append(row)

    def near(self, vector: Floats, least: float) -> list[Hashable]:
        """Keys of the vectors with at least this cosine, nearest first."""
        if self._matrix is None:
            return []
        cosines = self._matrix[: len(self._keys)] @ _unit(vector)
        rows = sorted(np.flatnonzero(cosines >= least), key=lambda row: -cosines[row])
        return [self._keys[row] for row in rows if self._keys[row] is not None]


class Lookup:
    """One search on its way through the cache.

    Attributes:
        left: the search for the queries that are not known; it shrinks in `near`.
        exact: queries known by their very words.
        semantic: queries that got what was found for a near one.
    """

    def __init__(
        self,
        cache: QueryCache,
        plan: Search,
        scope: Hashable,
        known: list[list[Hit] | None],
        version: int,
    ) -> None:
        self._cache, self._plan, self._scope, self._version = cache, plan, scope, version
        self._known = known
        self._vectors: Sequence[Floats] = []
        self.exact = sum(hits is not None for hits in known)
        self.semantic = 0
        self.left = self._rest()

    def near(self, vectors: Floats) -> Floats:
        """Look for near queries of those left; gives the vectors of those that are left then.

        Args:
            vectors: float32 `[queries left, dimension]`, or `[0, dimension]` without any.
        """
        if self._cache.semantic is not None and len(vectors):
            found = [self._cache.nearest(self._scope, vector) for vector in vectors]
            self.semantic = sum(hits is not None for hits in found)
            for at, hits in zip(self._unknown(), found, strict=True):
                self._known[at] = hits
            self.left = self._rest()
            vectors = vectors[[hits is None for hits in found]]
        self._vectors = list(vectors)
        return vectors

    def finish(self, hits: Sequence[list[Hit]]) -> list[list[Hit]]:
        """The hits of every query, once those of the queries left are found; keeps the latter."""
        vectors: Sequence[Floats | None] = self._vectors or [None] * len(hits)  # BM25 has none
        for at, vector, found in zip(self._unknown(), vectors, hits, strict=True):
            query = self._plan.queries[at]
            self._cache.keep(self._scope, query, vector, found, self._version)
            self._known[at] = found
        return [found or [] for found in self._known]

    def _unknown(self) -> list[int]:
        return [at for at, hits in enumerate(self._known) if hits is None]

    def _rest(self) -> Search:
        return replace(self._plan, queries=[self._plan.queries[at] for at in self._unknown()])


def _normal(query: str) -> str:
    return " ".join(unicodedata.normalize("NFC", query).split())


def _unit(vector: Floats) -> Floats:
    unit: Floats = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit


def _copied(hits: Sequence[Hit]) -> list[Hit]:
    """Hits that share nothing that can be changed: a passage's metadata is a plain dictionary."""
    return [
        replace(hit, passage=replace(hit.passage, metadata=copy.deepcopy(hit.passage.metadata)))
        for hit in hits
    ]
