"""Records and searches in qdrant-client's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import base
from unimoer_rag.retrieval.store.payloads import PASSAGE_FIELDS, of_record
from unimoer_rag.retrieval.store.quantization import OVERSAMPLING, Quantization

__all__ = ["rescoring", "to_point", "to_requests", "to_selectors", "to_sparse"]

_IDS = 10_000  # of one delete, 400 kB


def to_point(record: base.Record) -> models.PointStruct:
    """A record as a collection keeps it."""
    return models.PointStruct(
        id=record.passage.id,
        vector={
            base.DENSE: np.asarray(record.dense, dtype=np.float32).tolist(),
            base.SPARSE: to_sparse(record.sparse),
        },
        payload=of_record(record),
    )


def to_sparse(vector: SparseVector) -> models.SparseVector:
    """A sparse vector, of a passage or a query."""
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def rescoring(quantization: Quantization, oversampling: float | None) -> models.SearchParams:
    """How many candidates a quantized collection orders by their full vectors."""
    return models.SearchParams(
        quantization=models.QuantizationSearchParams(
            rescore=True, oversampling=oversampling or OVERSAMPLING[quantization]
        )
    )


def to_requests(
    queries: Sequence[Any],
    using: str,
    *,
    limit: int,
    condition: models.Filter | None,
    params: models.SearchParams | None,
) -> list[models.QueryRequest]:
    """A request for each query, of one kind of vector."""
    return [
        models.QueryRequest(
            query=query,
            using=using,
            limit=limit,
            filter=condition,
            params=params,
            with_payload=PASSAGE_FIELDS,
        )
        for query in queries
    ]


def to_selectors(ids: Sequence[str]) -> list[models.PointIdsList]:
    """Points by their ids, in parts of which each fits into a request."""
    return [
        models.PointIdsList(points=[*ids[start : start + _IDS]])
        for start in range(0, len(ids), _IDS)
    ]
