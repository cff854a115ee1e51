"""Homes behind qdrant-client: a collection on a Qdrant server, or one in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from unimoer_rag.closing import Closing
from unimoer_rag.errors import StoreError
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import base, payloads
from unimoer_rag.retrieval.store.base import Found, Label, Record
from unimoer_rag.retrieval.store.collection import (
    open_collection,
    record_identity,
    recorded_identity,
)
from unimoer_rag.retrieval.store.engine_filters import to_client_filter
from unimoer_rag.retrieval.store.filters import Filters, parse_filters
from unimoer_rag.retrieval.store.memory import MemoryStore
from unimoer_rag.retrieval.store.pages import scrolled
from unimoer_rag.retrieval.store.points import (
    rescoring,
    to_point,
    to_requests,
    to_selectors,
    to_sparse,
)
from unimoer_rag.retrieval.store.quantization import (
    Quantization,
    check_oversampling,
    check_quantization,
)
from unimoer_rag.retrieval.store.requests import (
    Page,
    batches,
    check_size,
    point_bytes,
    request_bytes,
    responses,
)
from unimoer_rag.retrieval.store.wire import client_errors, open_client
from unimoer_rag.retrieval.types import Passage
from unimoer_rag.urls import shown_url

__all__ = ["ServerStore"]

_COLLECTION = "unimoer"
_PAGE = 256
_STATES_PAGE = 32  # token states are hundreds of kB


class ServerStore(Closing):
    """An index in a Qdrant collection; made by `ServerStore.memory` or `ServerStore.connect`."""

    def __init__(
        self,
        client: QdrantClient,
        *,
        collection: str,
        dimension: base.Dimension,
        quantization: Quantization | None,
        oversampling: float | None,
        where: str,
        in_memory: bool,
    ) -> None:
        self._client, self._collection, self._where = client, collection, shown_url(where)
        self._owner = os.getpid()
        self._in_memory, self._oversampling = in_memory, oversampling
        self._closed = False
        self._indexed: set[str] = set()  # fields that searches by document need
        with self._calls():
            self._dimension, self._quantization = open_collection(
                client, collection, dimension, quantization, where=self._where, in_memory=in_memory
            )

    @staticmethod
    def memory(
        *,
        dimension: int | Sequence[int],
        quantization: Quantization | None = None,
        oversampling: float | None = None,
    ) -> MemoryStore:
        """An index in memory, see `MemoryStore`."""
        for length in base.lengths(dimension):
            base.check_dimension(length)  # as of a collection
        return MemoryStore(
            dimension=dimension, quantization=quantization, oversampling=oversampling
        )

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        api_key: str | None = None,
        collection: str = _COLLECTION,
        dimension: base.Dimension = None,
        quantization: Quantization | None = None,
        oversampling: float | None = None,
        prefer_grpc: bool = True,
        grpc_port: int = 6334,
        timeout: int = 30,
    ) -> Self:
        """A collection on a Qdrant server, made when absent.

        Args:
            url: such as http://localhost:6333.
            api_key: sent with every request when given.
            collection: its name.
            dimension: length of the dense vectors, or several that will do, that of a new
                collection first; None takes what the collection has.
            quantization: see `EdgeStore`; the server makes the codes of int8 as it optimizes.
            oversampling: see `EdgeStore`.
            prefer_grpc: use gRPC where it answers at `grpc_port`, REST otherwise.
            grpc_port: the server's gRPC port.
            timeout: seconds to wait for an answer.

        Raises:
            InputError: an argument cannot be used, or the collection is absent and no dimension
                is given.
            StoreUnavailableError: nothing answers at the URL.
            StoreAuthError: the server refuses the key.
            IndexMismatchError: the collection has other vectors.
            StoreError: the server fails otherwise.
        """
        for length in base.lengths(dimension):
            base.check_dimension(length)
        check_quantization(quantization)
        check_oversampling(oversampling)
        client = open_client(
            url,
            api_key=api_key,
            collection=collection,
            prefer_grpc=prefer_grpc,
            grpc_port=grpc_port,
            timeout=timeout,
        )
        try:
            return cls(
                client,
                collection=collection,
                dimension=dimension,
                quantization=quantization,
                oversampling=oversampling,
                where=url,
                in_memory=False,
            )
        except BaseException:
            client.close()
            raise

    @contextlib.contextmanager
    def _calls(self) -> Iterator[None]:
        if os.getpid() != self._owner:
            raise StoreError(
                f"the connections to {self._where} were opened by process {self._owner}, of which "
                "this one is a fork: open the store again here"
            )
        if self._closed:
            raise StoreError(f"the store at {self._where} is closed; open it again")
        with client_errors(self._where):
            yield

    @property
    def dimension(self) -> int:
        """Length of the dense vectors."""
        return self._dimension

    @property
    def quantization(self) -> Quantization | None:
        """How the dense vectors are quantized; None where they are not."""
        return self._quantization

    @property
    def read_only(self) -> str:
        """Nothing keeps it from being written."""
        return ""

    def upsert(self, records: Iterable[Record]) -> None:
        """Store records (see `Store.upsert`); returns once the server has applied them."""
        checked = base.check_records(records, self._dimension)
        if any(record.passage.document_id for record in checked):
            self._index_field("document_id")
        points = map(to_point, checked)
        # All sizes are known before the first is sent; the texts of points are made again.
        sizes = [point_bytes(record) for record in checked]
        for record, size in zip(checked, sizes, strict=True):
            check_size(size, f"passage {record.passage.id} of {record.passage.source!r}")
        for n in batches(sizes, most=_PAGE):
            batch = [next(points) for _ in range(n)]
            with self._calls():
                self._client.upsert(self._collection, batch, wait=True)

    def _index_field(self, name: str) -> None:
        """Make documents quick to find by a field; a server does nothing the second time."""
        if self._in_memory or name in self._indexed:  # memory keeps no such indexes
            return
        with self._calls():
            keyword = models.PayloadSchemaType.KEYWORD
            self._client.create_payload_index(self._collection, name, keyword, wait=True)
        self._indexed.add(name)

    def search_dense(
        self, vectors: NDArray[np.float32], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the nearest passages by cosine (see `Store.search_dense`)."""
        queries = [vector.tolist() for vector in base.check_vectors(vectors, self._dimension)]
        return self._search(queries, base.DENSE, limit, filters, self._rescoring())

    def _rescoring(self) -> models.SearchParams | None:
        if self._quantization is None or self._in_memory:  # which would warn of no effect
            return None
        return rescoring(self._quantization, self._oversampling)

    def search_sparse(
        self, queries: Sequence[SparseVector], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the passages with the highest BM25 scores (see `Store.search_sparse`)."""
        vectors = [to_sparse(query) for query in base.check_queries(queries)]
        return self._search(vectors, base.SPARSE, limit, filters)

    def _search(
        self,
        queries: list[Any],
        using: str,
        limit: int,
        filters: Filters | None,
        params: models.SearchParams | None = None,
    ) -> list[list[Found]]:
        base.check_limit(limit)
        condition = self._filter(filters)
        if not queries:
            return []

        def ask(some: list[Any], size: int) -> list[list[Found]]:
            requests = to_requests(some, using, limit=size, condition=condition, params=params)
            return [
                [Found(payloads.to_passage(p.payload), p.score) for p in response.points]
                for response in responses(self._client, self._collection, requests, most=_PAGE)
            ]

        with self._calls():
            limit = max(1, min(limit, self._count(None)))
            return base.search_whole_ties(queries, limit, ask)

    def _filter(self, filters: Filters | None) -> models.Filter | None:
        condition = to_client_filter(parse_filters(filters))
        if condition is not None:
            check_size(request_bytes(condition), "a search with these filters")
        return condition

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; absent ones are left out."""
        wanted = base.check_ids(ids)
        records = self._retrieve(wanted, with_payload=payloads.PASSAGE_FIELDS)
        found = {str(record.id): record.payload for record in records}
        return [payloads.to_passage(found[key]) for key in wanted if key in found]

    def states(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The token states of those of the passages that have some, by id."""
        records = self._retrieve(base.check_ids(ids), with_payload=[payloads.STATES_FIELD])
        found = {str(record.id): payloads.to_states(record.payload) for record in records}
        return {key: states for key, states in found.items() if states}

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are present."""
        return {str(r.id) for r in self._retrieve(base.check_ids(ids), with_payload=False)}

    def _retrieve(self, ids: list[str], *, with_payload: bool | list[str]) -> list[models.Record]:
        records: list[models.Record] = []
        start = 0
        page = Page(_STATES_PAGE if with_payload == [payloads.STATES_FIELD] else _PAGE)
        while start < len(ids):
            part = ids[start : start + page.size]
            start += len(part)
            with self._calls():
                found = self._client.retrieve(
                    self._collection, part, with_payload=with_payload, with_vectors=False
                )
            page.saw(record.payload for record in found)
            records += found
        return records

    def scroll(self, filters: Filters | None = None) -> Iterator[Passage]:
        """Every passage that meets the filters, in order of id, read in pages."""
        return map(payloads.to_passage, self._payloads(filters, payloads.PASSAGE_FIELDS))

    def sources(self, filters: Filters | None = None) -> dict[str, int]:
        """How many passages that meet the filters each source has."""
        return payloads.count_sources(self._payloads(filters, ["source"]))

    def labels(
        self, *, sources: Sequence[str] | None = None, document_ids: Sequence[str] | None = None
    ) -> Iterator[Label]:
        """Which document each passage is of (see `Store.labels`)."""
        condition = to_client_filter(payloads.label_conditions(sources, document_ids))
        records = self._records(condition, payloads.LABEL_FIELDS)
        return (payloads.to_label(record.id, record.payload) for record in records)

    def _payloads(self, filters: Filters | None, fields: list[str]) -> Iterator[Mapping[str, Any]]:
        return (record.payload or {} for record in self._records(self._filter(filters), fields))

    def _records(
        self, condition: models.Filter | None, fields: list[str]
    ) -> Iterator[models.Record]:
        sizes = Page(_PAGE)

        def page(offset: Any) -> tuple[Sequence[models.Record], Any]:
            with self._calls():
                records, following = self._client.scroll(
                    self._collection, condition, sizes.size, offset=offset, with_payload=fields
                )
            sizes.saw(record.payload for record in records)
            return records, following

        return scrolled(page)

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id or by filters (exactly one of them); returns how many."""
        base.check_delete(ids, filters)
        condition = self._filter(filters)
        with self._calls():
            selectors: list[Any] = []
            if condition is not None:
                n_deleted = self._count(condition)
                if n_deleted:
                    selectors = [models.FilterSelector(filter=condition)]
            else:
                present = sorted(self.existing(ids or ()))
                n_deleted = len(present)
                selectors = to_selectors(present)
            for selector in selectors:
                self._client.delete(self._collection, selector, wait=True)
        return n_deleted

    def count(self, filters: Filters | None = None) -> int:
        """How many passages meet the filters."""
        condition = self._filter(filters)
        with self._calls():
            return self._count(condition)

    def _count(self, condition: models.Filter | None) -> int:
        return self._client.count(self._collection, condition, exact=True).count

    def identity(self) -> Mapping[str, Any] | None:
        """What the index was built with, or None if it was never recorded."""
        with self._calls():
            return recorded_identity(self._client, self._collection)

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Record what the index is built with, in the collection's metadata.

        Raises:
            StoreError: the server is older than 1.16 and keeps no metadata.
        """
        checked = base.check_identity(identity)
        with self._calls():
            record_identity(self._client, self._collection, checked, where=self._where)

    def flush(self) -> None:
        """Nothing to do: a server logs a change to disk before it answers."""
        with self._calls():
            pass

    def optimize(self) -> None:
        """Nothing to do: a server builds its graphs by itself."""
        self.flush()

    def close(self) -> None:
        """Close the connections, or forget the index in memory; closing twice is harmless."""
        if os.getpid() != self._owner:
            return  # the connections are the parent's
        if not self._closed:
            self._closed = True
            self._client.close()

    def __reduce__(self) -> NoReturn:
        raise StoreError(
            f"the store at {self._where} holds connections and cannot be pickled or copied: "
            "connect again in the other process"
        )
