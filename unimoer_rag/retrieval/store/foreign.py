"""A collection that another library wrote, as a store that is searched and never written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from unimoer_rag.closing import Closing
from unimoer_rag.errors import InputError, StoreError
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import base, payloads
from unimoer_rag.retrieval.store.base import Found, Label, Record
from unimoer_rag.retrieval.store.filters import Filters
from unimoer_rag.retrieval.store.foreign_collection import ForeignCollection
from unimoer_rag.retrieval.store.foreign_filters import to_foreign_filter
from unimoer_rag.retrieval.store.pages import scrolled
from unimoer_rag.retrieval.store.points import to_sparse
from unimoer_rag.retrieval.store.requests import responses
from unimoer_rag.retrieval.store.wire import client_errors
from unimoer_rag.retrieval.types import Passage

__all__ = ["ForeignStore"]

_PAGE = 256


class ForeignStore(Closing):
    """A collection of another library; see `UnifiedRetriever.open_collection`.

    A passage's `document_id` is the other library's id, so that its own tells points apart. What
    asks for passages by their ids (`get`, `existing`) reads through the collection, and searches do
    not. Points without a text, such as images, are left out of what is found.

    Args:
        collection: what it is like.
        identity: of the index that it makes: the model that wrote it.
        no_words: why it cannot be searched by words; "" where it can.
        owns_client: whether closing the store closes the connections.
    """

    quantization = None
    """How an index quantizes: another library's collection is searched as it is."""

    def __init__(
        self,
        collection: ForeignCollection,
        *,
        identity: Mapping[str, Any],
        no_words: str,
        owns_client: bool,
    ) -> None:
        self._collection, self._client = collection, collection.client
        self._identity = base.check_identity(identity)
        self._no_words, self._owns_client = no_words, owns_client
        self._owner, self._closed = os.getpid(), False

    @property
    def dimension(self) -> int:
        """Length of the dense vectors."""
        return self._collection.dimension

    @property
    def read_only(self) -> str:
        """Why nothing can be written."""
        return "another library wrote it, which alone knows how"

    def search_dense(
        self, vectors: NDArray[np.float32], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the nearest passages (see `Store.search_dense`), by the collection's distance.

        Scores are cosines, but of vectors that are not normalised and compared by Dot.
        """
        queries = [vector.tolist() for vector in base.check_vectors(vectors, self.dimension)]
        return self._search(queries, self._collection.using, limit, filters)

    def search_sparse(
        self, queries: Sequence[SparseVector], *, limit: int, filters: Filters | None = None
    ) -> list[list[Found]]:
        """Find the passages with the highest BM25 scores (see `Store.search_sparse`).

        Raises:
            InputError: the collection's sparse vectors are not those of our BM25.
        """
        if self._no_words:
            raise InputError(
                f"{self._collection.where} can only be searched by the mode 'dense': "
                f"{self._no_words}"
            )
        vectors = [to_sparse(query) for query in base.check_queries(queries)]
        return self._search(vectors, self._collection.sparse, limit, filters)

    def _search(
        self, queries: list[Any], using: str | None, limit: int, filters: Filters | None
    ) -> list[list[Found]]:
        base.check_limit(limit)
        condition = self._filter(filters)
        if not queries:
            return []

        def ask(some: list[Any], size: int) -> list[list[Found]]:
            requests = [
                models.QueryRequest(
                    query=query, using=using, limit=size, filter=condition, with_payload=True
                )
                for query in some
            ]
            name = self._collection.name
            return [
                [one for p in response.points if (one := self._found(p, using)).passage.text]
                for response in responses(self._client, name, requests, most=_PAGE)
            ]

        with client_errors(self._where()):
            limit = max(1, min(limit, self._count(None)))
            return base.search_whole_ties(queries, limit, ask)

    def _found(self, point: models.ScoredPoint, using: str | None) -> Found:
        is_dense = using == self._collection.using
        score = self._collection.score(point.score) if is_dense else point.score
        return Found(self._passage(point), score)

    def _passage(self, point: models.ScoredPoint | models.Record) -> Passage:
        return self._collection.mapping.passage(point.payload or {}, point.id)

    def _filter(self, filters: Filters | None) -> models.Filter | None:
        return to_foreign_filter(filters, self._collection.mapping)

    def _where(self) -> str:
        """The collection, for messages, while it is open."""
        if os.getpid() != self._owner:
            raise StoreError(
                f"{self._collection.where} was opened by process {self._owner}, of which this one "
                "is a fork: open it again here"
            )
        if self._closed:
            raise StoreError(f"{self._collection.where} is closed; open it again")
        return self._collection.where

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order; absent ones are left out."""
        wanted = base.check_ids(ids)
        found = {one.id: one for one in self.scroll() if one.id in set(wanted)} if wanted else {}
        return [found[key] for key in wanted if key in found]

    def states(self, ids: Sequence[str]) -> dict[str, bytes]:
        """No token states: other libraries keep none."""
        return {}

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are present."""
        return {passage.id for passage in self.get(list(ids))}

    def scroll(self, filters: Filters | None = None) -> Iterator[Passage]:
        """Every passage that meets the filters, in order of the points' ids, read in pages."""
        condition = self._filter(filters)

        def page(offset: Any) -> tuple[Sequence[models.Record], Any]:
            with client_errors(self._where()):
                return self._client.scroll(
                    self._collection.name, condition, _PAGE, offset=offset, with_payload=True
                )

        return map(self._passage, scrolled(page))

    def sources(self, filters: Filters | None = None) -> dict[str, int]:
        """How many passages that meet the filters each source has."""
        return payloads.count_sources({"source": one.source} for one in self.scroll(filters))

    def labels(
        self, *, sources: Sequence[str] | None = None, document_ids: Sequence[str] | None = None
    ) -> Iterator[Label]:
        """Which document each passage is of (see `Store.labels`)."""
        for label in map(Label.of, self.scroll()):
            if (sources is None or label.source in sources) and (
                document_ids is None or label.document_id in document_ids
            ):
                yield label

    def count(self, filters: Filters | None = None) -> int:
        """How many passages meet the filters."""
        with client_errors(self._where()):
            return self._count(self._filter(filters))

    def _count(self, condition: models.Filter | None) -> int:
        return self._client.count(self._collection.name, condition, exact=True).count

    def identity(self) -> Mapping[str, Any]:
        """What an index of this collection was built with: the model that wrote it, as it is."""
        return self._identity

    def upsert(self, records: Iterable[Record]) -> None:
        """Refused."""
        self._refuse()

    def delete(self, ids: Iterable[str] | None = None, *, filters: Filters | None = None) -> int:
        """Refused."""
        self._refuse()

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError(f"{self._where()} is open for reading only: {self.read_only}")

    def flush(self) -> None:
        """Nothing to do."""

    def optimize(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Close the connections, unless they are the caller's; closing twice is harmless."""
        if not self._closed and os.getpid() == self._owner:
            self._closed = True
            if self._owns_client:
                self._client.close()
