"""What a retriever's arguments ask of an index, and the index they name."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.model.jobs import embedding_size
from unimoer_rag.model.state_format import Precision, StateFormat
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval import store
from unimoer_rag.retrieval.store import Quantization, Store

__all__ = ["open_store", "state_format"]


def open_store(
    model: UniMoER,
    *,
    index: str | Path | None,
    url: str | None,
    api_key: str | None,
    collection: str,
    dimensions: int | None,
    quantization: Quantization | None,
    oversampling: float | None,
) -> Store:
    """The index in a folder, on a server, or a new one in memory; see `UnifiedRetriever`."""
    # The lengths of vectors that will do, that of a new index first.
    if dimensions is None:
        lengths = (model.dimension, *model.task("embed").dimensions)
    else:
        lengths = (embedding_size(model, dimensions),)
    if url is not None:
        return store.ServerStore.connect(
            url,
            api_key=api_key,
            collection=collection,
            dimension=lengths,
            quantization=quantization,
            oversampling=oversampling,
        )
    if index is not None:
        return store.EdgeStore(
            index, dimension=lengths, quantization=quantization, oversampling=oversampling
        )
    return store.MemoryStore(
        dimension=lengths, quantization=quantization, oversampling=oversampling
    )


def state_format(precision: Precision | None, pooling: int) -> StateFormat | None:
    """How token states are asked to be kept; None where nothing is asked.

    Raises:
        InputError: pooling is asked for and no precision, or one of them cannot be used.
    """
    if precision is not None:
        return StateFormat(precision, pooling)
    if pooling != 1:
        raise InputError(
            f"token_pooling is {pooling!r} without token_states: say how they are kept, such as "
            "token_states='int8'"
        )
    return None
