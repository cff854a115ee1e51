"""Embeddings by the model's EMBED task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.storage.kvstore.types import BaseKVStore
from llama_index.embeddings.unimoer.cache import Vector, VectorKind, cached

from unimoer_rag.errors import DigestMismatchError, InputError
from unimoer_rag.steps import Steps, arun, either, run

if TYPE_CHECKING:
    from unimoer_rag.engine import Embedder, SharedModel
    from unimoer_rag.model import Side, UniMoER

__all__ = ["UniMoEREmbedding"]

_REMEDY = (
    "cut them shorter by Settings.chunk_size = {size} and Settings.chunk_overlap = 32, or "
    "SentenceSplitter(chunk_size={size}, chunk_overlap=32)"
)


class UniMoEREmbedding(BaseEmbedding):
    """L2-normalised embeddings of queries and texts, in batches and truly asynchronous.

    A text without a visible character gets the vector of the empty text. Texts longer than the
    model reads are embedded by their beginning; one warning tells of the first, and what to set.

    All that name one model share it while any of them lives, with `UniMoERRerank` and
    `UnifiedRetriever`. What names the model is fixed; for another, make another embedding.

    Pickled, copied or as a dictionary it is its settings: another process loads the model by its
    name, and refuses one of other content. A fork of this process cannot run it: an
    `IngestionPipeline` starts its workers by "spawn" in `run`, but in `arun` by whatever
    `multiprocessing.set_start_method` says, which on Linux is a fork by default.

    Args:
        model_name: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        query_instruction: goes before every query; None for the model's own, "" for none.
        text_instruction: goes before every text; None for the model's own, "" for none.
        dimensions: size of the embeddings, where the checkpoint was trained to be cut; None for
            the full size.
        embed_batch_size: texts handed over together; the engine makes its own batches of them.
        checkpoint_digest: what the model's content must be; by default whatever it is.
        embeddings_cache: a key-value store to keep vectors in, which is read as `cache`. It tells
            queries from texts, and checkpoints, instructions and sizes from each other.
        base: callback_manager, num_workers and whatever else LlamaIndex's `BaseEmbedding` takes.

    Raises:
        CheckpointError: no checkpoint there, a damaged one, or not that of `checkpoint_digest`.
        BackboneError: its backbone cannot be had.
        InputError: the checkpoint does not give embeddings of that size, the cache is no key-value
            store, or the device or dtype cannot be used.
        ValidationError: another setting is unknown or cannot be used (also a ValueError).

    >>> embedding = UniMoEREmbedding()                                 # doctest: +SKIP
    >>> len(embedding.get_query_embedding("how do refunds work?"))     # doctest: +SKIP
    384
    >>> Settings.embed_model = embedding                               # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid")

    model_name: str = Field(frozen=True, description="Checkpoint's name or folder.")
    revision: str | None = Field(frozen=True, description="Commit of a Hub repository.")
    device: str = Field(frozen=True, description="Device the model runs on.")
    dtype: str = Field(frozen=True, description="Number type the model runs in.")
    query_instruction: str | None = Field(description="Goes before every query.")
    text_instruction: str | None = Field(description="Goes before every text.")
    dimensions: int | None = Field(description="Size of the embeddings; None for all.")
    checkpoint_digest: str = Field(frozen=True, description="Identity of the weights.")
    # Always None, so that the base class leaves caching to us; fixed, so that it stays None.
    embeddings_cache: None = Field(default=None, frozen=True, exclude=True)

    _shared: SharedModel = PrivateAttr()
    _embedder: Embedder = PrivateAttr()
    _cache: BaseKVStore | None = PrivateAttr()

    def __init__(
        self,
        model_name: str = "unimoer-minilm",
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        query_instruction: str | None = None,
        text_instruction: str | None = None,
        dimensions: int | None = None,
        embed_batch_size: int = 256,
        checkpoint_digest: str = "",
        embeddings_cache: BaseKVStore | None = None,
        **base: Any,
    ) -> None:
        # Here, since they import torch, which importing the adapter must not.
        from unimoer_rag.engine import Embedder, SharedModel
        from unimoer_rag.model import embedding_size

        shared = SharedModel(model_name, revision=revision, device=device, dtype=dtype)
        embedding_size(shared.model, dimensions)
        settings: dict[str, Any] = {
            "model_name": model_name,
            "revision": revision,
            "device": device,
            "dtype": dtype,
            "query_instruction": query_instruction,
            "text_instruction": text_instruction,
            "dimensions": dimensions,
            "embed_batch_size": embed_batch_size,
            "checkpoint_digest": _agreed(checkpoint_digest, shared),
        }
        super().__init__(**settings, **base)
        self._shared, self._cache = shared, _checked(embeddings_cache)
        self._embedder = Embedder(shared, remedy=_REMEDY)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The framework's own drops private attributes, and hides what `__init__` refuses.
        kept = state["__pydantic_private__"] or {}
        settings = {**state["__dict__"], "embeddings_cache": kept.get("_cache")}
        self.__init__(**settings)  # type: ignore[misc]

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised objects."""
        return "UniMoEREmbedding"

    def to_payload(self) -> dict[str, Any]:
        """What events tell of it."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model_name,
            "embed_batch_size": self.embed_batch_size,
            "checkpoint_digest": self.checkpoint_digest,
            "dimension": self._dimension,
        }

    @property
    def unimoer(self) -> UniMoER:
        """The live model, which everything that names the same checkpoint holds."""
        return self._shared.model

    @property
    def cache(self) -> BaseKVStore | None:
        """The store given as `embeddings_cache`, or None."""
        return self._cache

    def _get_query_embedding(self, query: str) -> Vector:
        return run(self._embed([query], "query"))[0]

    async def _aget_query_embedding(self, query: str) -> Vector:
        return (await arun(self._embed([query], "query")))[0]

    def _get_text_embedding(self, text: str) -> Vector:
        return run(self._embed([text], "document"))[0]

    async def _aget_text_embedding(self, text: str) -> Vector:
        return (await arun(self._embed([text], "document")))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Vector]:
        return run(self._embed(texts, "document"))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Vector]:
        return await arun(self._embed(texts, "document"))

    def _embed(self, texts: list[str], side: Side) -> Steps[list[Vector]]:
        def embed(some: list[str]) -> Steps[list[Vector]]:
            return either(
                self._embedder.embed,
                self._embedder.aembed,
                some,
                side,
                instruction=self._instruction(side),
                dimensions=self.dimensions,
            )

        if self._cache is None:
            return embed(texts)
        return cached(self._cache, self._kind(side), texts, embed)

    def _instruction(self, side: Side) -> str | None:
        return self.query_instruction if side == "query" else self.text_instruction

    @property
    def _dimension(self) -> int:
        return self.dimensions or self._shared.model.dimension

    def _kind(self, side: Side) -> VectorKind:
        """What a cached vector depends on: settings in force, not as they were given."""
        instruction = self._instruction(side)
        if instruction is None:
            instruction = self._shared.model.prompts[side]
        return VectorKind(self.checkpoint_digest, side, instruction, self._dimension)


def _agreed(digest: str, shared: SharedModel) -> str:
    """The loaded model's digest, which is the one that was asked for."""
    actual = shared.model.checkpoint_digest
    if digest and digest != actual:
        raise DigestMismatchError(
            f"{shared.name} has the digest {actual}, not checkpoint_digest={digest!r}, with which "
            "this embedding was made: its vectors would not fit those there are. Put the original "
            "checkpoint there, or leave checkpoint_digest out and embed the texts again"
        )
    return actual


def _checked(cache: object) -> BaseKVStore | None:
    if cache is None or isinstance(cache, BaseKVStore):
        return cache
    raise InputError(
        f"embeddings_cache is a {type(cache).__name__}: expected a key-value store of LlamaIndex, "
        "such as SimpleKVStore(), or None"
    )
