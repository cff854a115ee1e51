"""A Qdrant collection as an index: making it, and opening it only when it fits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qdrant_client import QdrantClient, models

from unimoer_rag.errors import IndexMismatchError, InputError, StoreError
from unimoer_rag.retrieval.store import base
from unimoer_rag.retrieval.store.quantization import Quantization, agree_quantization

__all__ = ["open_collection", "record_identity", "recorded_identity"]

_IDENTITY_KEY = "unimoer"  # in the collection's metadata


def open_collection(
    client: QdrantClient,
    name: str,
    dimension: base.Dimension,
    quantization: Quantization | None,
    *,
    where: str,
    in_memory: bool,
) -> tuple[int, Quantization | None]:
    """The dimension and quantization of a collection, which is made where there is none.

    Args:
        client: speaks to its server, or holds it in memory.
        name: of the collection.
        dimension: lengths of vectors that will do; None takes what the collection has.
        quantization: of a new one; None takes what the collection has.
        where: the server, for messages.
        in_memory: whether qdrant-client's own engine holds it.

    Raises:
        InputError: it is absent and no dimension is given.
        IndexMismatchError: it has other vectors, or compares them in another way.
    """
    place = f"collection {name!r} at {where}"
    if not client.collection_exists(name):
        if dimension is None:
            raise InputError(f"there is no {place}; index some documents into it first")
        _create(client, name, base.lengths(dimension)[0], quantization)
        if not in_memory:  # it keeps no payload indexes, and says so in a warning
            client.create_payload_index(name, "source", models.PayloadSchemaType.KEYWORD, wait=True)
    config = client.get_collection(name).config
    vectors = config.params.vectors if isinstance(config.params.vectors, dict) else {}
    sparse = config.params.sparse_vectors or {}
    _check_names(place, vectors, sparse)
    _check_settings(place, vectors[base.DENSE], sparse[base.SPARSE])
    dense = vectors[base.DENSE]
    base.agree_dimension(dense.size, dimension, where=place)
    # The server takes the collection's where the vector has none of its own.
    kept = _quantization_of(dense.quantization_config or config.quantization_config, place)
    agree_quantization(kept, quantization, where=place)
    return int(dense.size), kept


def _check_names(place: str, vectors: Mapping[str, Any], sparse: Mapping[str, Any]) -> None:
    found = sorted(map(repr, (*vectors, *sparse)))
    if set(vectors) != {base.DENSE} or set(sparse) != {base.SPARSE}:
        raise IndexMismatchError(
            f"{place} was not made by unimoer-rag: it has "
            f"{'the vectors ' + ', '.join(found) if found else 'one vector without a name'} where "
            f"{base.DENSE!r} and the sparse {base.SPARSE!r} are expected; choose another name, or "
            "search what is there by UnifiedRetriever.open_collection (--mapping auto)"
        )


def _check_settings(
    place: str, dense: models.VectorParams, sparse: models.SparseVectorParams
) -> None:
    """Compare what decides scores with what `_create` asks for."""
    multi = dense.multivector_config and dense.multivector_config.comparator
    sparse_type = sparse.index and sparse.index.datatype
    for name, found, expected in (
        ("the distance", dense.distance, models.Distance.COSINE),
        ("the multivector comparator", multi, None),
        ("the datatype", dense.datatype or models.Datatype.FLOAT32, models.Datatype.FLOAT32),
        ("the sparse modifier", sparse.modifier, models.Modifier.IDF),
        ("the sparse datatype", sparse_type or models.Datatype.FLOAT32, models.Datatype.FLOAT32),
    ):
        if found != expected:
            raise IndexMismatchError(
                f"{place} has {name} {_shown(found)}, and {_shown(expected)} is expected: its "
                "scores would not be those of this library; choose another name, or delete the "
                "collection and let it be made anew"
            )


def _shown(value: Any) -> str:
    return "none" if value is None else repr(str(getattr(value, "value", value)))


def _create(
    client: QdrantClient, name: str, dimension: int, quantization: Quantization | None
) -> None:
    dense = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    if quantization is not None:
        dense.on_disk, dense.quantization_config = True, _codes(quantization)
    client.create_collection(
        name,
        vectors_config={base.DENSE: dense},
        sparse_vectors_config={
            base.SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)
        },
    )


def _codes(quantization: Quantization) -> models.QuantizationConfig:
    if quantization == "int8":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    return models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(
            query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR8BITS, always_ram=True
        )
    )


def _quantization_of(config: Any, place: str) -> Quantization | None:
    if config is None:
        return None
    if isinstance(config, models.ScalarQuantization):
        return "int8"
    if isinstance(config, models.BinaryQuantization):
        return "binary"
    raise IndexMismatchError(
        f"{place} has a {type(config).__name__}, and int8, binary or none is expected; choose "
        "another name, or delete the collection and let it be made anew"
    )


def recorded_identity(client: QdrantClient, name: str) -> Mapping[str, Any] | None:
    """What the collection's metadata say that it was built with; None where they say nothing."""
    metadata = client.get_collection(name).config.metadata or {}
    recorded = metadata.get(_IDENTITY_KEY)
    return None if recorded is None else dict(json.loads(recorded))


def record_identity(
    client: QdrantClient, name: str, identity: Mapping[str, Any], *, where: str
) -> None:
    """Record what an index is built with, in the collection's metadata.

    Raises:
        StoreError: the server is older than 1.16 and keeps no metadata.
    """
    # One string: a server merges metadata, and keys left out would live on.
    client.update_collection(name, metadata={_IDENTITY_KEY: json.dumps(identity)})
    if recorded_identity(client, name) != identity:
        raise StoreError(
            f"the Qdrant server at {where} did not keep the collection's metadata; "
            "it needs version 1.16 or later: update the server"
        )
