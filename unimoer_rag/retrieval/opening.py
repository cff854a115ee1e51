"""The index that a retriever's settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.model import UniMoER, embedding_size
from unimoer_rag.retrieval.foreign_opening import open_foreign
from unimoer_rag.retrieval.identity import check_model
from unimoer_rag.retrieval.index_model import kept_identity
from unimoer_rag.retrieval.ports import Embeds
from unimoer_rag.retrieval.settings import RetrieverSettings
from unimoer_rag.retrieval.store import Store

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["open_store"]


def open_store(
    model: Embeds, settings: RetrieverSettings, client: QdrantClient | None = None
) -> Store:
    """The index in a folder, on a server, or a new one in memory; see `RetrieverSettings`.

    Args:
        model: embeds.
        settings: name the place, but for a collection of another library in a client.
        client: holds that.

    Raises:
        IndexMismatchError: it was built with another model, which is named, or differs otherwise.
        InputError: the model does not give vectors of that length.
    """
    if settings.mapping is not None:
        return open_foreign(model, settings, _lengths(model, settings.dimensions), client)
    try:
        return _opened(settings, _lengths(model, settings.dimensions))
    except IndexMismatchError:
        # Where vectors differ in length, what differs is the model; unless it makes none at all.
        kept = kept_identity(**settings.place)
        if kept is not None and kept.get("dimension") and model.dimension:
            check_model(kept, model, where=settings.where)
        raise


def _lengths(model: Embeds, dimensions: int | None) -> tuple[int, ...]:
    """The lengths of vectors that will do, that of a new index first."""
    if isinstance(model, UniMoER):
        if dimensions is None:
            return (model.dimension, *model.task("embed").dimensions)
        return (embedding_size(model, dimensions),)
    if dimensions not in (None, model.dimension):
        raise InputError(
            f"dimensions is {dimensions!r}: {model.checkpoint} gives embeddings of "
            f"{model.dimension}"
        )
    return (model.dimension,)


def _opened(settings: RetrieverSettings, dimension: tuple[int, ...]) -> Store:
    about: dict[str, Any] = {
        "dimension": dimension,
        "quantization": settings.quantization,
        "oversampling": settings.oversampling,
    }
    # qdrant-client takes a second to import, which a folder does without.
    if settings.url is not None:
        from unimoer_rag.retrieval.store.server import ServerStore

        return ServerStore.connect(
            settings.url, api_key=settings.api_key, collection=settings.collection, **about
        )
    if settings.index is not None:
        from unimoer_rag.retrieval.store.edge import EdgeStore

        return EdgeStore(settings.index, read_only=settings.read_only, **about)
    from unimoer_rag.retrieval.store.memory import MemoryStore

    return MemoryStore(**about)
