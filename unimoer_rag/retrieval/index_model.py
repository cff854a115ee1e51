"""The model that an index was built with: the one that searches it where none is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.model import BACKBONES, shipped_checkpoints
from unimoer_rag.retrieval.store import is_index
from unimoer_rag.retrieval.store.manifest import read_manifest
from unimoer_rag.urls import shown_url

__all__ = ["DEFAULT_MODEL", "kept_identity", "model_of_index"]

DEFAULT_MODEL = "unimoer-minilm"
"""What a new index is built with."""

_FROZEN = " (frozen backbone)"  # as `UniMoER.checkpoint` tells a backbone without a checkpoint


def kept_identity(
    *, index: str | Path | None, url: str | None, api_key: str | None, collection: str
) -> Mapping[str, Any] | None:
    """What an index was built with; None for one that is not there yet, or in memory.

    Raises:
        IndexCorruptError: the folder's manifest cannot be read.
        StoreError: the server is down or refuses the key.
    """
    if index is not None:
        return read_manifest(Path(index)).identity if is_index(index) else None
    if url is None:
        return None
    from unimoer_rag.retrieval.store.server import ServerStore

    try:
        store = ServerStore.connect(url, api_key=api_key, collection=collection)
    except InputError:  # no such collection; what is wrong with the URL is told when it is opened
        return None
    try:
        return store.identity()
    finally:
        store.close()


def model_of_index(
    *, index: str | Path | None, url: str | None, api_key: str | None, collection: str
) -> str:
    """The name of the model to open an index with: its own, or the default for a new one.

    An index may come from elsewhere: it chooses among the models of this release and the folders
    that are here, and makes nobody download another.

    Raises:
        IndexMismatchError: its model is not here; names it.
        StoredIndexError: see `kept_identity`; so for `StoreError`.
    """
    identity = kept_identity(index=index, url=url, api_key=api_key, collection=collection)
    if identity is None:
        return DEFAULT_MODEL
    name = str(identity.get("model")).removesuffix(_FROZEN)
    if name in shipped_checkpoints() or name in BACKBONES or _is_folder(name):
        return name
    where = str(index) if url is None else shown_url(url)
    raise IndexMismatchError(
        f"the index at {where} was built with the model {name!r}, which is no model of this "
        "release and no folder here: name the model, or where it is now (model=, --checkpoint)"
    )


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # a name that no folder can have
        return False
