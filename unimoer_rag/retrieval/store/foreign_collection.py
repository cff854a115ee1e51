"""What a collection of another library is like: its vectors, its distance, a few of its points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store.base import Dimension, agree_dimension
from unimoer_rag.retrieval.store.payload_mapping import PayloadMapping, mapping_of

__all__ = ["ForeignCollection", "Sample", "look_at"]

_SAMPLED = 8
_UNIT = 0.01  # how far from 1 the length of a normalised vector may be, in half precision
_DISTANCES = (models.Distance.COSINE, models.Distance.DOT, models.Distance.EUCLID)


@dataclass(frozen=True, slots=True)
class Sample:
    """A point, as it lies in a collection.

    Attributes:
        payload: what stands beside its vectors.
        dense: float32 `[dimension]`.
        sparse: its sparse vector; None where it has none.
    """

    payload: Mapping[str, Any]
    dense: NDArray[np.float32]
    sparse: SparseVector | None


@dataclass(frozen=True, slots=True)
class ForeignCollection:
    """A collection that another library wrote.

    Attributes:
        client: speaks to its server, or holds it.
        name: of the collection.
        where: the collection, for messages.
        mapping: of its payloads.
        dense: name of its dense vector, "" for one without a name.
        dimension: of that.
        distance: by which it compares them.
        sparse: name of its sparse vector, or None.
        has_idf: whether it weighs the terms of that by their IDF.
        sample: some of its points.
    """

    client: QdrantClient
    name: str
    where: str
    mapping: PayloadMapping
    dense: str
    dimension: int
    distance: models.Distance
    sparse: str | None
    has_idf: bool
    sample: Sequence[Sample] = field(repr=False)

    @property
    def using(self) -> str | None:
        """The name of the dense vector in a request."""
        return self.dense or None

    def score(self, found: float) -> float:
        """A score of the collection's, higher for nearer: the cosine where vectors have length 1.

        Distances of such vectors have |a - b|² = 2 - 2 cos.
        """
        return 1 - found * found / 2 if self.distance == models.Distance.EUCLID else found


def look_at(
    client: QdrantClient,
    name: str,
    mapping: PayloadMapping | str,
    dimension: Dimension,
    *,
    where: str,
) -> ForeignCollection:
    """What a collection is like, once it can be searched.

    Args:
        client: speaks to its server, or holds it.
        name: of the collection.
        mapping: of its payloads, a preset's name, or "auto".
        dimension: lengths of vectors that will do.
        where: the server or folder, for messages.

    Raises:
        InputError: there is none, it is empty, or its payloads or vectors have other names.
        IndexMismatchError: its vectors have another length, or are compared in another way.
    """
    place = f"collection {name!r} at {where}"
    if not client.collection_exists(name):
        names = sorted(each.name for each in client.get_collections().collections)
        there = f"there are {', '.join(map(repr, names[:12]))}" if names else "there is none at all"
        raise InputError(f"there is no {place}: {there}")
    records, _ = client.scroll(name, limit=_SAMPLED, with_payload=True, with_vectors=True)
    if not records:
        raise InputError(f"{place} is empty: there is nothing to search and to know its model by")
    payloads = [record.payload or {} for record in records]
    mapping = mapping_of(mapping, payloads, where=place)
    params = client.get_collection(name).config.params
    dense, about = _dense_of(params.vectors, mapping, place)
    agree_dimension(about.size, dimension, where=place)
    sparse, modifier = _sparse_of(params.sparse_vectors or {}, mapping, place)
    sample = [
        Sample(payload, _vector(record, dense), _sparse_vector(record, sparse))
        for record, payload in zip(records, payloads, strict=True)
        if dense in _vectors(record) and mapping.text_of(payload)
    ]
    if not sample:
        raise InputError(
            f"{place} begins with {len(records)} points of which none has both a text and a vector "
            f"{dense!r}: what is there cannot be searched by its texts"
        )
    lengths = [float(np.linalg.norm(one.dense)) for one in sample]
    if about.distance == models.Distance.EUCLID and max(abs(n - 1) for n in lengths) > _UNIT:
        raise IndexMismatchError(
            f"{place} compares vectors of lengths {min(lengths):.3g} to {max(lengths):.3g} by "
            "their distance, and queries here have length 1, which finds others: write it with "
            "normalised vectors, or with the distance Cosine or Dot"
        )
    return ForeignCollection(
        client,
        name,
        place,
        mapping,
        dense,
        int(about.size),
        about.distance,
        sparse,
        modifier == models.Modifier.IDF,
        sample,
    )


def _dense_of(vectors: Any, mapping: PayloadMapping, place: str) -> tuple[str, models.VectorParams]:
    named = vectors if isinstance(vectors, Mapping) else {} if vectors is None else {"": vectors}
    name = _chosen(named, mapping.vector, "vector", place)
    if name is None:
        raise InputError(f"{place} has no dense vectors, and those are what is searched")
    about = named[name]
    if about.multivector_config is not None or about.distance not in _DISTANCES:
        kind = "multivectors" if about.multivector_config else f"the distance {about.distance}"
        expected = ", ".join(map(str, _DISTANCES))
        raise IndexMismatchError(
            f"{place} has {kind}: expected one vector a point, compared by {expected}"
        )
    return name, about


def _sparse_of(
    vectors: Mapping[str, models.SparseVectorParams], mapping: PayloadMapping, place: str
) -> tuple[str | None, models.Modifier | None]:
    name = _chosen(vectors, mapping.sparse_vector, "sparse_vector", place)
    return (None, None) if name is None else (name, vectors[name].modifier)


def _chosen(named: Mapping[str, Any], wanted: str | None, attribute: str, place: str) -> str | None:
    """The vector of a name, or the only one; None where there is none and none is asked for."""
    if wanted is None and len(named) <= 1:
        return next(iter(named), None)
    if wanted not in named:
        raise InputError(
            f"{place} has the vectors {', '.join(map(repr, named)) or 'none'}"
            f"{'' if wanted is None else f', and not {wanted!r}'}: name one of them, as "
            f"PayloadMapping.preset(..., {attribute}=NAME)"
        )
    return wanted


def _vectors(record: models.Record) -> Mapping[str, Any]:
    found = record.vector
    return found if isinstance(found, Mapping) else {} if found is None else {"": found}


def _vector(record: models.Record, name: str) -> NDArray[np.float32]:
    return np.asarray(_vectors(record)[name], np.float32)


def _sparse_vector(record: models.Record, name: str | None) -> SparseVector | None:
    found = _vectors(record).get(name) if name is not None else None
    if found is None:
        return None
    return SparseVector(tuple(found.indices), tuple(map(float, found.values)))
