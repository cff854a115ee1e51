"""The embedded home: an index is a folder, searched in this process by Qdrant's Edge engine.

```
handbook.index/
├── unimoer.json     what it is and what it was built with (see `manifest`)
├── checksums.json   digests of the files, while nobody changes them (see `checksums`)
├── .lock            held while a process has it open
└── shard/           the engine's files: a write-ahead log and segments
```

The engine logs an upsert before it applies it, so passages survive the death of the process as
soon as `upsert` returns, and a loss of power once `flush` has returned.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from unimoer_rag.closing import Closing
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import base, payloads
from unimoer_rag.retrieval.store.base import Found, Label, Record
from unimoer_rag.retrieval.store.engine import DELETE_BYTES, check_space
from unimoer_rag.retrieval.store.engine_filters import to_edge_filter
from unimoer_rag.retrieval.store.filters import Filters, parse_filters
from unimoer_rag.retrieval.store.folder import count_all
from unimoer_rag.retrieval.store.opened import OpenIndex
from unimoer_rag.retrieval.store.pages import scrolled
from unimoer_rag.retrieval.store.quantization import (
    OVERSAMPLING,
    Quantization,
    check_oversampling,
    check_quantization,
)
from unimoer_rag.retrieval.store.requests import batches
from unimoer_rag.retrieval.types import Passage

__all__ = ["EdgeStore"]

_BATCH = 256  # passages in one write or page
# Candidates HNSW keeps while it searches; 256 finds nearly all true neighbours of the top 100.
_HNSW_EF = 256
_DELETED_BYTES = 64  # what a deleted passage takes in the log and the tables of ids


class EdgeStore(Closing):
    """An index in a folder.

    Args:
        path: the folder; made when `dimension` is given and it is absent or empty.
        dimension: length of the dense vectors, 0 for an index of BM25 alone, or several that will
            do, that of a new index first; None takes what the index has.
        quantization: "int8" or "binary" for a new index; None makes one without, and takes what
            an index has. The codes of int8 are made by `optimize`, from `hnsw_from` passages on;
            until then searches compare the full vectors. Those of binary are there at once.
        oversampling: candidates by codes for each passage asked for (see `quantization`); None
            takes 2 for int8 and 8 for binary. Not kept: it is of this object's searches.
        hnsw_from: passages in a segment from which `optimize` builds a graph. Below it the
            engine compares every vector, which is exact and, at 25,000 passages of 384
            dimensions, still faster than the graph (5 ms a query against 7).
        read_only: refuse changes, and open an index that another process has open, too: as it
            was at that process's last flush, from a copy in the folder of temporary files. An
            index whose folder cannot be written is always opened so.

    Raises:
        InputError: no index is there and no dimension is given, the folder holds other files, or
            an argument has a value that cannot be used.
        IndexLockedError: another process (or store) has it open, or, with `read_only`, is
            changing it.
        IndexMismatchError: it holds vectors of another dimension or quantization.
        IndexCorruptError: its files are damaged.
        StoreError: the folder cannot be read or written, or the disk is full.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dimension: base.Dimension = None,
        quantization: Quantization | None = None,
        oversampling: float | None = None,
        hnsw_from: int = 50_000,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        check_quantization(quantization)
        self._oversampling = check_oversampling(oversampling)
        self._index = OpenIndex(
            self.path,
            dimension=dimension,
            quantization=quantization,
            hnsw_from=hnsw_from,
            read_only=read_only,
        )

    @property
    def dimension(self) -> int:
        """Length of the dense vectors; 0 in an index that holds none."""
        return self._index.manifest.dimension

    @property
    def quantization(self) -> Quantization | None:
        """How the dense vectors are quantized; None where they are not."""
        return self._index.manifest.quantization

    @property
    def read_only(self) -> str:
        """Why nothing can be written; empty where it can."""
        return self._index.read_only

    def upsert(self, records: Iterable[Record]) -> None:
        """Store records (see `Store.upsert`).

        Raises:
            StoreError: the disk is nearly full; batches written before are kept.
        """
        checked = base.check_records(records, self.dimension)
        if any(record.passage.document_id for record in checked):
            self._index_field("document_id")
        waiting = iter(checked)
        sizes = [_size(record) for record in checked]
        for n in batches(sizes, most=_BATCH):
            batch = [next(waiting) for _ in range(n)]
            # Once for the log, once for the segments.
            check_space(self.path, 2 * sum(map(_size, batch)))
            with self._index.writing() as shard:
                shard.update(edge.UpdateOperation.upsert_points([_point(r) for r in batch]))

    def _index_field(self, name: str) -> None:
        """Make documents quick to find by a field; at once where that was done before."""
        with self._index.writing() as shard:
            if name not in shard.info().payload_schema:
                keyword = edge.PayloadSchemaType.Keyword
                shard.update(edge.UpdateOperation.create_field_index(name, keyword))

    def search_dense(
        self, vectors: NDArray[np.float32], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the nearest passages by cosine (see `Store.search_dense`)."""
        queries = [
            edge.Query.Nearest(vector.tolist(), using=base.DENSE)
            for vector in base.check_vectors(vectors, self.dimension)
        ]
        params = edge.SearchParams(hnsw_ef=_HNSW_EF, quantization=self._rescoring())
        return self._search(queries, limit, filters, params)

    def _rescoring(self) -> edge.QuantizationSearchParams | None:
        if self.quantization is None:
            return None
        oversampling = self._oversampling or OVERSAMPLING[self.quantization]
        return edge.QuantizationSearchParams(rescore=True, oversampling=oversampling)

    def search_sparse(
        self, queries: Sequence[SparseVector], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the passages with the highest BM25 scores (see `Store.search_sparse`)."""
        nearest = [
            edge.Query.Nearest(_sparse(query), using=base.SPARSE)
            for query in base.check_queries(queries)
        ]
        # The engine's own counts keep deleted passages until it rewrites their segment (qdrant
        # issue 6735); counting over all passages leaves them out.
        idf = edge.IdfParams(corpus=edge.Filter())
        return self._search(nearest, limit, filters, edge.SearchParams(idf=idf))

    def _search(
        self,
        queries: list[edge.Query],
        limit: int,
        filters: Filters | None,
        params: edge.SearchParams,
    ) -> list[list[Found]]:
        base.check_limit(limit)
        condition = to_edge_filter(parse_filters(filters))
        if not queries:
            return []
        with self._index.reading() as shard:

            def ask(some: list[edge.Query], size: int) -> list[list[Found]]:
                requests = [
                    edge.QueryRequest(
                        size,
                        query=query,
                        filter=condition,
                        params=params,
                        with_payload=payloads.PASSAGE_FIELDS,
                    )
                    for query in some
                ]
                results = shard.query_batch(edge.QueryBatchRequest(requests))
                return [
                    [Found(payloads.to_passage(point.payload), point.score) for point in points]
                    for points in results
                ]

            limit = max(1, min(limit, count_all(shard)))
            return base.search_whole_ties(queries, limit, ask)

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; absent ones are left out."""
        wanted = base.check_ids(ids)
        with self._index.reading() as shard:
            records = shard.retrieve([*wanted], payloads.PASSAGE_FIELDS, False)
        found = {str(record.id): record.payload for record in records}
        return [payloads.to_passage(found[key]) for key in wanted if key in found]

    def states(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The token states of those of the passages that have some, by id."""
        wanted = base.check_ids(ids)
        with self._index.reading() as shard:
            records = shard.retrieve([*wanted], [payloads.STATES_FIELD], False)
        found = {str(record.id): payloads.to_states(record.payload) for record in records}
        return {key: states for key, states in found.items() if states}

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are present."""
        wanted = base.check_ids(ids)
        with self._index.reading() as shard:
            return {str(record.id) for record in shard.retrieve([*wanted], False, False)}

    def scroll(self, filters: Filters | None = None) -> Iterator[Passage]:
        """Every passage that meets the filters, in order of id, read in pages."""
        return map(
            payloads.to_passage, self._payloads(filters, with_payload=payloads.PASSAGE_FIELDS)
        )

    def sources(self, filters: Filters | None = None) -> dict[str, int]:
        """How many passages that meet the filters each source has."""
        return payloads.count_sources(self._payloads(filters, with_payload=["source"]))

    def labels(
        self, *, sources: Sequence[str] | None = None, document_ids: Sequence[str] | None = None
    ) -> Iterator[Label]:
        """Which document each passage is of (see `Store.labels`)."""
        condition = to_edge_filter(payloads.label_conditions(sources, document_ids))
        records = self._records(condition, with_payload=payloads.LABEL_FIELDS)
        return (payloads.to_label(record.id, record.payload) for record in records)

    def entries(self) -> Iterator[tuple[str, Passage]]:
        """Every id with the passage that is stored under it, in order of id."""
        records = self._records(None, with_payload=payloads.PASSAGE_FIELDS)
        return ((str(record.id), payloads.to_passage(record.payload)) for record in records)

    def _payloads(
        self, filters: Filters | None, *, with_payload: list[str]
    ) -> Iterator[Mapping[str, Any]]:
        condition = to_edge_filter(parse_filters(filters))
        records = self._records(condition, with_payload=with_payload)
        return (record.payload or {} for record in records)

    def _records(
        self, condition: edge.Filter | None, *, with_payload: list[str]
    ) -> Iterator[edge.Record]:
        def page(offset: Any) -> tuple[Sequence[edge.Record], Any]:
            request = edge.ScrollRequest(
                offset=offset, limit=_BATCH, filter=condition, with_payload=with_payload
            )
            with self._index.reading() as shard:
                return shard.scroll(request)

        return scrolled(page)

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id or by filters (exactly one of them); returns how many."""
        base.check_delete(ids, filters)
        condition = to_edge_filter(parse_filters(filters))
        if condition is not None:
            with self._index.writing() as shard:
                n_deleted = int(shard.count(edge.CountRequest(filter=condition)))
                self._check_space(n_deleted)
                shard.update(edge.UpdateOperation.delete_points_by_filter(condition))
            return n_deleted
        wanted = base.check_ids(ids or ())
        with self._index.writing() as shard:
            present = sorted(self.existing(wanted))
            self._check_space(len(present))
            shard.update(edge.UpdateOperation.delete_points([*present]))
        return len(present)

    def _check_space(self, n_deleted: int) -> None:
        check_space(self.path, _DELETED_BYTES * n_deleted, reserve=DELETE_BYTES)

    def count(self, filters: Filters | None = None) -> int:
        """How many passages meet the filters."""
        condition = to_edge_filter(parse_filters(filters))
        with self._index.reading() as shard:
            if condition is None:
                return count_all(shard)
            return int(shard.count(edge.CountRequest(filter=condition)))

    def identity(self) -> Mapping[str, Any] | None:
        """What the index was built with, or None if it was never recorded."""
        return self._index.manifest.identity

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Record what the index is built with, in one step."""
        checked = base.check_identity(identity)
        with self._index.writing():
            self._index.record(identity=checked)

    def flush(self) -> None:
        """Make everything written so far durable, power loss included."""
        self._index.flush()

    def optimize(self) -> None:
        """Merge segments and build HNSW graphs where `hnsw_from` passages gathered.

        Blocks other calls meanwhile: about a second for a thousand passages on one core. What it
        reads and the copy it makes are mapped files, which count as the process's memory for the
        while and which the system takes back where room is short.

        It is left out, with a logged warning, when the disk has no room for the copy; searches
        then stay exact and slower.
        """
        self._index.optimize()

    def close(self) -> None:
        """Flush and free the folder; closing twice is harmless."""
        self._index.close()


def _size(record: Record) -> int:
    """Bytes that a record takes in the index, about."""
    passage, metadata = record.passage, repr(record.passage.metadata)
    n_bytes = 8 * (len(record.dense) + 2 * len(record.sparse.values))
    n_bytes += 4 * (len(passage.content) + len(passage.source) + len(metadata))
    return n_bytes + 4 * len(record.states) // 3


def _point(record: Record) -> edge.Point:
    dense = np.asarray(record.dense, dtype=np.float32).tolist()
    vectors: dict[str, Any] = {base.SPARSE: _sparse(record.sparse)}
    if dense:
        vectors[base.DENSE] = dense
    payload = payloads.of_record(record)
    return edge.Point(uuid.UUID(record.passage.id), vectors, payload)


def _sparse(vector: SparseVector) -> edge.SparseVector:
    return edge.SparseVector(list(vector.indices), list(vector.values))
