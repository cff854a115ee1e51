"""What every home of an index can do, and the checks they share.

A store holds passages, each with one dense vector (cosine) and one sparse one (BM25, IDF applied
by the engine). The homes are `EdgeStore` (a folder), `ServerStore.memory()` and
`ServerStore.connect(url)`; code that uses a store sees only `Store`.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.retrieval.metadata import (
    check_metadata,
)
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store.filters import Filters
from unimoer_rag.retrieval.store.quantization import Quantization
from unimoer_rag.retrieval.types import Passage

__all__ = ["Dimension", "Found", "Label", "Record", "Store"]

Dimension = int | Sequence[int] | None
"""Length of the dense vectors, or those that will do: a new index gets the first; None is any."""

# Names of the two vectors in a shard or collection.
DENSE, SPARSE = "dense", "sparse"

_MAX_INDEX = 2**32 - 1

# Passages of early indexes name no origin; what their readers called the files tells them apart.
_EARLY_TYPES = ("text", "markdown", "html", "pdf", "docx")


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A passage with its vectors, ready to store.

    Attributes:
        passage: what is stored; its id is the record's key.
        dense: float array [dimension]; its length does not matter, scores are cosines. Empty
            where the index holds no dense vectors.
        sparse: the passage's BM25 weights.
        states: its token states (see `StateFormat.pack`); empty where the index keeps none.
    """

    passage: Passage
    dense: NDArray[np.float32]
    sparse: SparseVector
    states: bytes = b""


@dataclass(frozen=True, slots=True)
class Label:
    """Which document a stored passage is of.

    Attributes:
        id: the passage's.
        source: the document's, as for all that follow.
        title: or "".
        document_id: or "".
        origin: the file it was read from, or "".
        type: of the file, as its reader called it, or "".
    """

    id: str
    source: str
    title: str
    document_id: str
    origin: str
    type: str

    @classmethod
    def of(cls, passage: Passage) -> Label:
        """The label of a passage that was read."""
        return cls(
            passage.id,
            passage.source,
            passage.title,
            passage.document_id,
            passage.origin,
            str(passage.metadata.get("type", "")),
        )

    @property
    def file(self) -> str:
        """The file that holds the document, or "" for what was added by itself."""
        return self.origin or (self.source if self.type in _EARLY_TYPES else "")


@dataclass(frozen=True, slots=True)
class Found:
    """A passage a search found.

    Attributes:
        passage: what was found.
        score: its cosine (dense) or BM25 score (sparse).
    """

    passage: Passage
    score: float


class Store(Protocol):
    """A home of an index. Every method may be called from any thread.

    Methods raise `InputError` for values that cannot be used, before anything is written, and
    `StoreError` (or a subclass) when the engine fails.
    """

    @property
    def dimension(self) -> int:
        """Length of the dense vectors; 0 in an index that holds none."""
        ...

    @property
    def quantization(self) -> Quantization | None:
        """How the dense vectors are quantized; None where they are not."""
        ...

    @property
    def read_only(self) -> str:
        """Why nothing can be written; empty where it can."""
        ...

    def upsert(self, records: Iterable[Record]) -> None:
        """Store records; one whose id is present replaces what is there.

        All records are checked before the first is written.
        """
        ...

    def search_dense(
        self, vectors: NDArray[np.float32], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the passages nearest to each query by cosine.

        Args:
            vectors: float array [queries, dimension].
            limit: the most passages to return for a query, at least 1.
            filters: conditions passages must meet (see `filters`).

        Returns:
            For each query, passages by falling cosine; ties by id.
        """
        ...

    def search_sparse(
        self, queries: Sequence[SparseVector], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the passages with the highest BM25 score for each query.

        IDF is that of the whole index, also under filters. Passages that share no term with
        the query are not returned.
        """
        ...

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; absent ones are left out."""
        ...

    def states(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The token states of those of the passages that have some, by id."""
        ...

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are present."""
        ...

    def scroll(self, filters: Filters | None = None) -> Iterator[Passage]:
        """Every passage that meets the filters, in order of id, read in pages."""
        ...

    def sources(self, filters: Filters | None = None) -> dict[str, int]:
        """How many passages that meet the filters each source has; takes time for each of them."""
        ...

    def labels(
        self, *, sources: Sequence[str] | None = None, document_ids: Sequence[str] | None = None
    ) -> Iterator[Label]:
        """Which document each passage is of, for those with one of these sources and ids."""
        ...

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Remove passages by id or by filters (exactly one of them); returns how many."""
        ...

    def count(self, filters: Filters | None = None) -> int:
        """How many passages meet the filters."""
        ...

    def identity(self) -> Mapping[str, Any] | None:
        """What the index was built with, as `set_identity` recorded it; None if it never did."""
        ...

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Record what the index is built with: JSON values, replacing what was recorded."""
        ...

    def flush(self) -> None:
        """Make everything written so far durable."""
        ...

    def optimize(self) -> None:
        """Build what makes a large index fast; call it after bulk loads."""
        ...

    def close(self) -> None:
        """Flush and let go of files, locks and connections; closing twice is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def check_dimension(dimension: int) -> int:
    """Refuse a dimension that no vector can have."""
    if dimension < 1:
        raise InputError(f"dimension is {dimension}; it must be at least 1")
    return dimension


def lengths(dimension: Dimension) -> tuple[int, ...]:
    """The lengths of vectors that will do, that of a new index first; none where any does."""
    if dimension is None:
        return ()
    return (dimension,) if isinstance(dimension, int) else tuple(dimension)


def agree_dimension(kept: int, dimension: Dimension, *, where: str) -> None:
    """Refuse an index with vectors of another length.

    Raises:
        IndexMismatchError: none of the lengths that will do is the one that is kept.
    """
    wanted = lengths(dimension)
    if wanted and kept not in wanted:
        raise IndexMismatchError(
            f"{where} holds vectors of {kept}, the model gives {', '.join(map(str, wanted))}: use "
            "the model and the dimensions it was built with, or index the documents again into a "
            "new index"
        )


def check_limit(limit: int) -> int:
    """Refuse to look for no passages."""
    if limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    return limit


def check_records(records: Iterable[Record], dimension: int) -> list[Record]:
    """All records, the last of each id, once every one of them can be stored."""
    unique: dict[str, Record] = {}
    for record in records:
        _check_passage(record.passage)
        name = f"passage {record.passage.id} of {record.passage.source!r}"
        if np.shape(record.dense) != (dimension,):
            raise InputError(
                f"the vector of {name} has shape {list(np.shape(record.dense))}; this index holds "
                f"vectors of {dimension}: embed with the model the index was built with"
            )
        if not np.isfinite(record.dense).all():
            raise InputError(
                f"the vector of {name} holds NaN or infinity; nothing was stored: check the model"
            )
        _check_sparse(record.sparse, name)
        unique[record.passage.id] = record
    return list(unique.values())


def check_vectors(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """Query vectors as a finite float32 array [queries, dimension]."""
    if not dimension:
        raise InputError("this index holds no dense vectors: search it with the mode 'sparse'")
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != 2 or (array.shape[1] != dimension and array.size):
        raise InputError(
            f"query vectors have shape {list(array.shape)}; expected [queries, {dimension}]"
        )
    if not np.isfinite(array).all():
        raise InputError("a query vector holds NaN or infinity; check the model")
    return array


def check_queries(queries: Sequence[SparseVector]) -> Sequence[SparseVector]:
    """Sparse query vectors, once each is well formed."""
    for number, query in enumerate(queries):
        _check_sparse(query, f"query {number}")
    return queries


def check_ids(ids: Iterable[str]) -> list[str]:
    """Distinct ids in their canonical form, in the given order."""
    canonical: dict[str, None] = {}
    for key in [ids] if isinstance(ids, str) else ids:
        try:
            canonical[str(uuid.UUID(key))] = None
        except (ValueError, AttributeError, TypeError):
            raise InputError(f"{key!r} is not a passage id; ids are UUIDs (`passage.id`)") from None
    return list(canonical)


def check_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity as JSON would give it back."""
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(identity), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"identity {identity!r} is not JSON ({error}); use plain values") from None
    return copy


def check_delete(ids: Iterable[str] | None, filters: Filters | None) -> None:
    """Refuse a delete that says nothing, or two things."""
    if (ids is None) == (not filters):
        raise InputError("delete needs either ids or filters: exactly one of them, not empty")


def _check_sparse(vector: SparseVector, name: str) -> None:
    indices, values = vector.indices, vector.values
    if len(indices) != len(values) or len(set(indices)) != len(indices):
        raise InputError(f"the sparse vector of {name} needs one value for each distinct index")
    if any(not 0 <= index <= _MAX_INDEX for index in indices):
        raise InputError(f"the sparse vector of {name} has an index outside 0 to {_MAX_INDEX}")
    if not all(map(math.isfinite, values)):
        raise InputError(f"the sparse vector of {name} holds NaN or infinity")


def _check_passage(passage: Passage) -> None:
    # Engines keep payloads as JSON in UTF-8, and one of them would fail half-way.
    for text in (passage.text, passage.source, passage.title):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"a passage of {passage.source!r} holds the lone surrogate "
                f"{error.object[error.start]!r}, which is not text; read the source with "
                "errors='replace'"
            ) from None
    check_metadata(passage.metadata, passage.source)


def by_score(found: Iterable[Found]) -> list[Found]:
    """Best first; engines return ties in no fixed order, here they come by id."""
    return sorted(found, key=lambda item: (-item.score, item.passage.id))


_Query = TypeVar("_Query")
_MORE = 8  # asked for beyond the limit, to see where a tie ends


def search_whole_ties(
    queries: Sequence[_Query], limit: int, ask: Callable[[list[_Query], int], list[list[Found]]]
) -> list[list[Found]]:
    """The first `limit` results of each query, ties by id.

    An engine breaks off within a tie as it comes: it is asked for more until the tie is whole.

    Args:
        queries: what to ask for.
        limit: results of each, at most.
        ask: gives the best results of some queries, at most so many.
    """
    done: dict[int, list[Found]] = {}
    waiting, size = list(range(len(queries))), limit + _MORE
    while waiting:
        for at, found in zip(waiting, ask([queries[at] for at in waiting], size), strict=True):
            ordered = by_score(found)
            if len(found) < size or ordered[-1].score < ordered[limit - 1].score:
                done[at] = ordered[:limit]
        waiting, size = [at for at in waiting if at not in done], 4 * size
    return [done[at] for at in range(len(queries))]
