"""The framework's key-value stores as a cache that tells a query from a document.

LlamaIndex's own cache of embeddings goes by the text alone, so that a query gets the vector of a
document in the same words, and one model gets that of another.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from llama_index.core.storage.kvstore.types import BaseKVStore

if TYPE_CHECKING:
    from unimoer_rag.model import Side

__all__ = ["Vector", "VectorKind", "acached", "cached"]

Vector = list[float]

# The framework's name; our keys are digests, so texts that are keys there stay apart.
_COLLECTION = "embeddings"
_VALUE = "embedding"


@dataclass(frozen=True, slots=True)
class VectorKind:
    """All that a text's vector depends on beside the text.

    Attributes:
        checkpoint: digest of the checkpoint.
        side: what the text is.
        instruction: what goes before it.
        dimension: size of the vector.
    """

    checkpoint: str
    side: Side
    instruction: str
    dimension: int

    def key(self, text: str) -> str:
        """The name of a text's vector in a store."""
        return hashlib.sha256(json.dumps([*astuple(self), text]).encode()).hexdigest()


def cached(
    store: BaseKVStore,
    kind: VectorKind,
    texts: Sequence[str],
    embed: Callable[[list[str]], list[Vector]],
) -> list[Vector]:
    """The texts' vectors, in order; only those that the store lacks are embedded, each once.

    Args:
        store: has the vectors of earlier calls, and gets the new ones.
        kind: of the vectors.
        texts: the texts.
        embed: gives the vectors of some texts.
    """
    wanted = {kind.key(text): text for text in texts}
    kept = {key: store.get(key, collection=_COLLECTION) for key in wanted}
    vectors = {key: value[_VALUE] for key, value in kept.items() if value is not None}
    missing = [key for key in wanted if key not in vectors]
    if missing:
        new = embed([wanted[key] for key in missing])
        for key, vector in zip(missing, new, strict=True):
            store.put(key, {_VALUE: vector}, collection=_COLLECTION)
            vectors[key] = vector
    return [vectors[kind.key(text)] for text in texts]


async def acached(
    store: BaseKVStore,
    kind: VectorKind,
    texts: Sequence[str],
    embed: Callable[[list[str]], Awaitable[list[Vector]]],
) -> list[Vector]:
    """`cached` through the store's own async methods."""
    wanted = {kind.key(text): text for text in texts}
    found = await asyncio.gather(*(store.aget(key, collection=_COLLECTION) for key in wanted))
    kept = zip(wanted, found, strict=True)
    vectors = {key: value[_VALUE] for key, value in kept if value is not None}
    missing = [key for key in wanted if key not in vectors]
    if missing:
        new = dict(zip(missing, await embed([wanted[key] for key in missing]), strict=True))
        await asyncio.gather(
            *(
                store.aput(key, {_VALUE: vector}, collection=_COLLECTION)
                for key, vector in new.items()
            )
        )
        vectors.update(new)
    return [vectors[kind.key(text)] for text in texts]
