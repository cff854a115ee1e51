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
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.storage.kvstore.types import BaseKVStore

from unimoer_rag.steps import Steps, either

if TYPE_CHECKING:
    from unimoer_rag.model import Side

__all__ = ["Vector", "VectorKind", "cached"]

T = TypeVar("T")

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
    embed: Callable[[list[str]], Steps[list[Vector]]],
) -> Steps[list[Vector]]:
    """The texts' vectors, in order; only those that the store lacks are embedded, each once.

    Args:
        store: has the vectors of earlier calls, and gets the new ones; where one awaits, by its own
            async methods.
        kind: of the vectors.
        texts: the texts.
        embed: gives the vectors of some texts.
    """
    wanted = {kind.key(text): text for text in texts}
    kept = yield from _each(store.get, store.aget, [(key, _COLLECTION) for key in wanted])
    vectors = {
        key: value[_VALUE] for key, value in zip(wanted, kept, strict=True) if value is not None
    }
    missing = [key for key in wanted if key not in vectors]
    if missing:
        found = yield from embed([wanted[key] for key in missing])
        new = dict(zip(missing, found, strict=True))
        values = [(key, {_VALUE: vector}, _COLLECTION) for key, vector in new.items()]
        yield from _each(store.put, store.aput, values)
        vectors.update(new)
    return [vectors[kind.key(text)] for text in texts]


def _each(
    blocking: Callable[..., T],
    awaited: Callable[..., Awaitable[T]],
    calls: Sequence[tuple[Any, ...]],
) -> Steps[list[T]]:
    """What a function gives for each of these arguments; its awaited twin, all at once."""

    async def together() -> list[T]:
        return await asyncio.gather(*(awaited(*call) for call in calls))

    return either(lambda: [blocking(*call) for call in calls], together)
