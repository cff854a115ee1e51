"""A Qdrant collection as an index: making it, and opening it only when it fits."""

from __future__ import annotations

from typing import Any

from qdrant_client import QdrantClient, models

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.retrieval.store import base
from unimoer_rag.retrieval.store.quantization import Quantization, agree_quantization

__all__ = ["open_collection"]


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
        IndexMismatchError: it has other vectors.
    """
    place = f"collection {name!r} at {where}"
    if not client.collection_exists(name):
        if dimension is None:
            raise InputError(f"there is no {place}; index some documents into it first")
        _create(client, name, base.lengths(dimension)[0], quantization)
        if not in_memory:  # it keeps no payload indexes, and says so in a warning
            client.create_payload_index(name, "source", models.PayloadSchemaType.KEYWORD, wait=True)
    params = client.get_collection(name).config.params
    vectors = params.vectors if isinstance(params.vectors, dict) else {}
    dense = vectors.get(base.DENSE)
    if dense is None or base.SPARSE not in (params.sparse_vectors or {}):
        raise IndexMismatchError(
            f"{place} was not made by unimoer-rag: it lacks the vectors {base.DENSE!r} and "
            f"{base.SPARSE!r}; choose another name"
        )
    base.agree_dimension(dense.size, dimension, where=place)
    kept = _quantization_of(dense.quantization_config)
    agree_quantization(kept, quantization, where=place)
    return int(dense.size), kept


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


def _quantization_of(config: Any) -> Quantization | None:
    if isinstance(config, models.ScalarQuantization):
        return "int8"
    return "binary" if isinstance(config, models.BinaryQuantization) else None
