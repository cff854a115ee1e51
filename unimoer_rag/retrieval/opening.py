"""What a retriever's arguments ask of an index, and the index they name."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.model import StateFormat, UniMoER, embedding_size
from unimoer_rag.model.tasks.state_format import Precision
from unimoer_rag.retrieval.identity import check_model
from unimoer_rag.retrieval.index_model import kept_identity
from unimoer_rag.retrieval.store import Quantization, Store
from unimoer_rag.urls import shown_url

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
    read_only: bool,
) -> Store:
    """The index in a folder, on a server, or a new one in memory; see `UnifiedRetriever`.

    Raises:
        IndexMismatchError: it was built with another model, which is named, or differs otherwise.
    """
    # The lengths of vectors that will do, that of a new index first.
    if dimensions is None:
        lengths = (model.dimension, *model.task("embed").dimensions)
    else:
        lengths = (embedding_size(model, dimensions),)
    try:
        return _opened(
            index, url, api_key, collection, lengths, quantization, oversampling, read_only
        )
    except IndexMismatchError:
        # Where vectors differ in length, what differs is the model.
        kept = kept_identity(index=index, url=url, api_key=api_key, collection=collection)
        if kept is not None:
            where = str(index) if url is None else shown_url(url)
            check_model(kept, model, where=where)
        raise


def _opened(
    index: str | Path | None,
    url: str | None,
    api_key: str | None,
    collection: str,
    dimension: tuple[int, ...],
    quantization: Quantization | None,
    oversampling: float | None,
    read_only: bool,
) -> Store:
    # qdrant-client takes a second to import, which a folder does without.
    if url is None and index is not None:
        from unimoer_rag.retrieval.store.edge import EdgeStore

        return EdgeStore(
            index,
            dimension=dimension,
            quantization=quantization,
            oversampling=oversampling,
            read_only=read_only,
        )
    if url is None:
        from unimoer_rag.retrieval.store.memory import MemoryStore

        return MemoryStore(
            dimension=dimension, quantization=quantization, oversampling=oversampling
        )
    from unimoer_rag.retrieval.store.server import ServerStore

    return ServerStore.connect(
        url,
        api_key=api_key,
        collection=collection,
        dimension=dimension,
        quantization=quantization,
        oversampling=oversampling,
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
