"""Opens what another library wrote: a collection on a server, in a folder, or in a client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimoer_rag.errors import IndexLockedError, InputError
from unimoer_rag.retrieval.identity import WHOLE, identity_of
from unimoer_rag.retrieval.ports import Embeds
from unimoer_rag.retrieval.settings import RetrieverSettings
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Store, is_index

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["open_foreign", "place_of"]

_TIMEOUT = 30


def place_of(place: object) -> tuple[dict[str, Any], QdrantClient | None]:
    """Settings that name a place, and the client, where it is one.

    Raises:
        InputError: it is none.
    """
    if isinstance(place, str) and "://" in place:
        return {"url": place}, None
    if isinstance(place, str | Path):
        return {"index": place}, None
    from qdrant_client import QdrantClient

    if isinstance(place, QdrantClient):
        return {}, place
    raise InputError(
        "a collection is opened at a URL, in a folder or in a QdrantClient; this is of the type "
        f"{type(place).__name__}"
    )


def open_foreign(
    model: Embeds,
    settings: RetrieverSettings,
    lengths: tuple[int, ...],
    client: QdrantClient | None = None,
) -> Store:
    """The collection that the settings name, once the model is known to have written it.

    Args:
        model: embeds queries.
        settings: of the retriever, with a `mapping`.
        lengths: of the model's vectors.
        client: speaks to its server, or holds it; None where the settings have its place.

    Raises:
        InputError: there is no such collection, its payloads are of no known kind, or it cannot be
            searched by the mode.
        IndexMismatchError: another model wrote it.
        IndexLockedError: another process has the folder open.
        StoreError: the server is down or refuses the key.
    """
    from unimoer_rag.retrieval.probing import check_model_wrote, why_no_words
    from unimoer_rag.retrieval.store.foreign import ForeignStore
    from unimoer_rag.retrieval.store.foreign_collection import look_at
    from unimoer_rag.retrieval.store.wire import client_errors

    assert settings.mapping is not None
    where = "the given client" if client is not None else settings.where
    opened = client or _client(settings)
    try:
        with client_errors(where):
            found = look_at(opened, settings.collection, settings.mapping, lengths, where=where)
        check_model_wrote(found, model)
        encoder = BM25Encoder(language=settings.language or "english")
        no_words = why_no_words(found, encoder)
        if no_words and settings.mode != "dense":
            raise InputError(
                f"mode is {settings.mode!r}: {found.where} can only be searched by 'dense', for "
                f"{no_words}"
            )
        identity = identity_of(model, found.dimension, WHOLE, encoder)
        return ForeignStore(found, identity=identity, no_words=no_words, owns_client=client is None)
    except BaseException:
        if client is None:
            opened.close()
        raise


def _client(settings: RetrieverSettings) -> QdrantClient:
    if settings.url is not None:
        from unimoer_rag.retrieval.store.wire import open_client

        return open_client(
            settings.url,
            api_key=settings.api_key,
            collection=settings.collection,
            prefer_grpc=True,
            grpc_port=6334,
            timeout=_TIMEOUT,
        )
    if settings.index is None:
        raise InputError(
            "mapping is for a collection that another library wrote: say where it is, by url or "
            "index, or by UnifiedRetriever.open_collection"
        )
    folder = Path(settings.index)
    if is_index(folder):
        raise InputError(
            f"{str(folder)!r} is an index of unimoer-rag: open it by UnifiedRetriever(index=), or "
            "without --mapping"
        )
    if not (folder / "meta.json").is_file():  # which a client would make
        raise InputError(
            f"there is no folder of a QdrantClient(path=...) at {str(folder)!r}: name the one that "
            "it wrote, a server's URL, or give the client itself"
        )
    from qdrant_client import QdrantClient

    try:
        # Searches may come from any thread, and do not touch the files.
        return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
    except RuntimeError as error:
        raise IndexLockedError(
            f"{str(folder)!r} cannot be opened ({error}): close the client that has it open, or "
            "give that client itself"
        ) from error
