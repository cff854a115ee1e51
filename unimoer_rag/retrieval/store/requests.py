"""How much goes into one request to a Qdrant server, which refuses what is too large."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.store.payloads import of_record

if TYPE_CHECKING:
    from pydantic import BaseModel
    from qdrant_client import QdrantClient
    from qdrant_client.models import QueryRequest, QueryResponse

    from unimoer_rag.retrieval.store.base import Record

__all__ = ["Page", "batches", "check_size", "point_bytes", "request_bytes", "responses"]

_USUAL = 5_000_000  # bytes: enough to fill a connection, far from the server's limit
_MOST = 32 << 20  # the server's own limit of a request, unless it is told otherwise
_AROUND = 4096  # of a request, without what it is about

# Bytes of JSON, at most: a float of 32 bits written as one of 64, an index of a sparse vector.
_FLOAT, _INDEX = 25, 11


def point_bytes(record: Record) -> int:
    """The size of a record's point in a request, at most."""
    n_sparse = len(record.sparse.indices)
    vectors = _FLOAT * len(record.dense) + (_FLOAT + _INDEX) * n_sparse
    return vectors + len(json.dumps(of_record(record), ensure_ascii=False).encode()) + 256


def request_bytes(request: BaseModel) -> int:
    """The size of a part of a request."""
    return len(request.model_dump_json(exclude_none=True).encode())


def check_size(n_bytes: int, what: str) -> None:
    """Refuse what no request can hold.

    Raises:
        InputError: names it, its size and the limit.
    """
    if n_bytes > _MOST - _AROUND:
        raise InputError(
            f"{what} takes {n_bytes / (1 << 20):.1f} MiB, and a Qdrant server takes requests of "
            f"{_MOST >> 20} MiB; nothing was sent: cut the text into passages, or shorten its "
            "metadata, token states or filters"
        )


def batches(sizes: Sequence[int], *, most: int) -> Iterator[int]:
    """How many go together, one number a request: few bytes, and no more than `most`."""
    n, n_bytes = 0, 0
    for size in sizes:
        if n == most or (n and n_bytes + size > _USUAL):
            yield n
            n, n_bytes = 0, 0
        n, n_bytes = n + 1, n_bytes + size
    if n:
        yield n


def responses(
    client: QdrantClient, collection: str, requests: Sequence[QueryRequest], *, most: int
) -> Iterator[QueryResponse]:
    """What a collection answers to each query, asked many at a time: see `batches`."""
    asked = 0
    for n in batches([request_bytes(request) for request in requests], most=most):
        yield from client.query_batch_points(collection, requests[asked : asked + n])
        asked += n


class Page:
    """How many to ask for at once, by the size of those that came.

    Args:
        most: at first, and at most.
    """

    def __init__(self, most: int) -> None:
        self.size = self._most = most

    def saw(self, payloads: Iterable[Mapping[str, Any] | None]) -> None:
        """Take note of an answer."""
        sizes = [_rough(payload) for payload in payloads]
        if sizes:
            mean = max(1, sum(sizes) // len(sizes))
            self.size = max(1, min(self._most, _USUAL // mean))


def _rough(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_rough(key) + _rough(item) for key, item in value.items())
    return sum(map(_rough, value)) if isinstance(value, list) else 8
