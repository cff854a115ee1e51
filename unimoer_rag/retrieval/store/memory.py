"""The home in memory: arrays and dictionaries, for as long as the object lives."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.closing import Closing
from unimoer_rag.errors import StoreError
from unimoer_rag.retrieval.metadata import plain
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import base, forks, payloads
from unimoer_rag.retrieval.store.base import Found, Label, Record
from unimoer_rag.retrieval.store.filters import Conditions, Filters, matches, parse_filters
from unimoer_rag.retrieval.store.keyed_vectors import KeyedVectors
from unimoer_rag.retrieval.store.quantization import (
    Quantization,
    check_oversampling,
    check_quantization,
)
from unimoer_rag.retrieval.types import Passage

__all__ = ["MemoryStore"]


class MemoryStore(Closing):
    """An index that lives as long as this object; it compares every vector.

    Args:
        dimension: length of the dense vectors, 0 for an index of BM25 alone; of several the first.
        quantization: recorded, and without effect: searches compare the full vectors.
        oversampling: likewise.
    """

    def __init__(
        self,
        *,
        dimension: int | Sequence[int],
        quantization: Quantization | None = None,
        oversampling: float | None = None,
    ) -> None:
        for length in base.lengths(dimension):
            if length:  # 0: an index without dense vectors
                base.check_dimension(length)
        self._quantization = check_quantization(quantization)
        check_oversampling(oversampling)
        self._lock = threading.RLock()
        self._rows: KeyedVectors | None = KeyedVectors(base.lengths(dimension)[0])
        self._payloads: dict[str, dict[str, Any]] = {}
        self._by_source: dict[str, set[str]] = {}
        self._states: dict[str, bytes] = {}
        self._sparse: dict[str, SparseVector] = {}
        self._postings: dict[int, dict[str, float]] = {}
        self._identity: dict[str, Any] | None = None
        forks.register(self)

    @property
    def dimension(self) -> int:
        """Length of the dense vectors; 0 in an index that holds none."""
        return self._open().dimension

    @property
    def quantization(self) -> Quantization | None:
        """What was asked for."""
        return self._quantization

    @property
    def read_only(self) -> str:
        """Nothing keeps it from being written."""
        return ""

    def _open(self) -> KeyedVectors:
        if self._rows is None:
            raise StoreError("the store at memory is closed; open it again")
        return self._rows

    def upsert(self, records: Iterable[Record]) -> None:
        """Store records (see `Store.upsert`)."""
        checked = base.check_records(records, self.dimension)
        with self._lock:
            rows = self._open()
            for record in checked:
                key = record.passage.id
                self._forget(key)
                rows.put(key, record.dense)
                payload = payloads.to_payload(record.passage)
                self._payloads[key] = {
                    name: payload[name] for name in payloads.PASSAGE_FIELDS if name in payload
                }
                self._by_source.setdefault(record.passage.source, set()).add(key)
                if record.states:
                    self._states[key] = record.states
                self._sparse[key] = record.sparse
                for term, value in zip(record.sparse.indices, record.sparse.values, strict=True):
                    self._postings.setdefault(term, {})[key] = value

    def _forget(self, key: str) -> None:
        if (payload := self._payloads.pop(key, None)) is not None:
            self._by_source[payload["source"]].discard(key)
            self._open().drop(key)
            self._states.pop(key, None)
            for term in self._sparse.pop(key).indices:
                del self._postings[term][key]
                if not self._postings[term]:
                    del self._postings[term]

    def search_dense(
        self, vectors: NDArray[np.float32], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the nearest passages by cosine (see `Store.search_dense`)."""
        queries = base.check_vectors(vectors, self.dimension)
        base.check_limit(limit)
        conditions = parse_filters(filters)
        with self._lock:
            rows = self._open()
            keys = self._meeting(conditions) if conditions else None
            return [self._found(rows.nearest(query, limit, keys)) for query in queries]

    def search_sparse(
        self, queries: Sequence[SparseVector], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the passages with the highest BM25 scores (see `Store.search_sparse`)."""
        base.check_queries(queries)
        base.check_limit(limit)
        conditions = parse_filters(filters)
        with self._lock:
            self._open()
            keys = set(self._meeting(conditions)) if conditions else None
            return [self._found(self._bm25(query, keys)[:limit]) for query in queries]

    def _bm25(self, query: SparseVector, keys: set[str] | None) -> list[tuple[str, float]]:
        scores: dict[str, float] = {}
        for term, weight in zip(query.indices, query.values, strict=True):
            postings = self._postings.get(term, {})
            n, n_with = len(self._payloads), len(postings)
            idf = math.log(1 + (n - n_with + 0.5) / (n_with + 0.5))
            for key, value in postings.items():
                if keys is None or key in keys:
                    scores[key] = scores.get(key, 0.0) + weight * idf * value
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))

    def _found(self, scores: Iterable[tuple[str, float]]) -> list[Found]:
        return [Found(self._passage(key), score) for key, score in scores]

    def _passage(self, key: str) -> Passage:
        payload = self._payloads[key]
        return payloads.to_passage({**payload, "metadata": plain(payload["metadata"])})

    def _meeting(self, conditions: Conditions) -> list[str]:
        """The ids of what meets conditions, in order."""
        stored = self._payloads
        if not conditions:
            return sorted(stored)
        return sorted(key for key, payload in stored.items() if matches(conditions, payload))

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; absent ones are left out."""
        wanted = base.check_ids(ids)
        with self._lock:
            self._open()
            return [self._passage(key) for key in wanted if key in self._payloads]

    def states(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The token states of those of the passages that have some, by id."""
        wanted = base.check_ids(ids)
        with self._lock:
            self._open()
            return {key: self._states[key] for key in wanted if key in self._states}

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are present."""
        wanted = base.check_ids(ids)
        with self._lock:
            self._open()
            return {key for key in wanted if key in self._payloads}

    def scroll(self, filters: Filters | None = None) -> Iterator[Passage]:
        """Every passage that meets the filters, in order of id."""
        conditions = parse_filters(filters)

        def passages() -> Iterator[Passage]:
            with self._lock:
                self._open()
                keys = self._meeting(conditions)
            for key in keys:
                yield from self.get([key])

        return passages()

    def sources(self, filters: Filters | None = None) -> dict[str, int]:
        """How many passages that meet the filters each source has."""
        conditions = parse_filters(filters)
        with self._lock:
            self._open()
            return payloads.count_sources(self._payloads[key] for key in self._meeting(conditions))

    def labels(
        self, *, sources: Sequence[str] | None = None, document_ids: Sequence[str] | None = None
    ) -> Iterator[Label]:
        """Which document each passage is of (see `Store.labels`)."""
        with self._lock:
            self._open()
            if sources is None:
                keys = sorted(self._payloads)
            else:
                keys = sorted(key for source in sources for key in self._by_source.get(source, ()))
            labels = [payloads.to_label(key, self._payloads[key]) for key in keys]
        wanted = None if document_ids is None else frozenset(document_ids)
        return (one for one in labels if wanted is None or one.document_id in wanted)

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id or by filters (exactly one of them); returns how many."""
        base.check_delete(ids, filters)
        conditions = parse_filters(filters)
        wanted = base.check_ids(ids or ())
        with self._lock:
            self._open()
            if conditions:
                wanted = self._meeting(conditions)
            present = [key for key in wanted if key in self._payloads]
            for key in present:
                self._forget(key)
        return len(present)

    def count(self, filters: Filters | None = None) -> int:
        """How many passages meet the filters."""
        conditions = parse_filters(filters)
        with self._lock:
            self._open()
            return len(self._meeting(conditions)) if conditions else len(self._payloads)

    def identity(self) -> Mapping[str, Any] | None:
        """What the index was built with, or None if it was never recorded."""
        self._open()
        return self._identity

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Record what the index is built with."""
        checked = base.check_identity(identity)
        self._open()
        self._identity = checked

    def flush(self) -> None:
        """Nothing to do."""
        self._open()

    def optimize(self) -> None:
        """Nothing to do."""
        self._open()

    def close(self) -> None:
        """Forget the index; closing twice is harmless."""
        with self._lock:
            self._rows = None
            for held in (
                self._payloads,
                self._by_source,
                self._states,
                self._sparse,
                self._postings,
            ):
                held.clear()

    def abandon(self) -> None:
        """In a forked child: this copy is its own, whatever thread of the parent was at it."""
        self._lock = threading.RLock()
