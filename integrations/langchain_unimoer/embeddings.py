"""Embeddings for vector stores and whatever else takes LangChain's `Embeddings`."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from pydantic import PrivateAttr

from langchain_unimoer.base import SharesModel

if TYPE_CHECKING:
    from unimoer_rag.engine import Embedder

__all__ = ["UniMoEREmbeddings"]

_REMEDY = (
    "cut them shorter, say by RecursiveCharacterTextSplitter.from_huggingface_tokenizer("
    "embeddings.unimoer.tokenizer, chunk_size={size}, chunk_overlap=32)"
)


class UniMoEREmbeddings(SharesModel, Embeddings):
    """L2-normalised embeddings by the model's EMBED task, as `UnifiedRetriever` uses them.

    Texts longer than the model reads are embedded by their beginning; one warning tells of the
    first.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        query_instruction: goes before every query; None for the model's own, "" for none.
        text_instruction: goes before every document; None for the model's own, "" for none.
        dimensions: size of the embeddings, where the checkpoint was trained to be cut; None for
            the full size.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        ValidationError: a setting is unknown or cannot be used (also a ValueError).

    >>> embeddings = UniMoEREmbeddings()                               # doctest: +SKIP
    >>> len(embeddings.embed_query("how long do refunds take?"))       # doctest: +SKIP
    384
    """

    query_instruction: str | None = None
    text_instruction: str | None = None
    dimensions: int | None = None

    _embedder: Embedder = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Load the model and refuse a size that it does not give."""
        super().model_post_init(context)
        from unimoer_rag.engine import Embedder
        from unimoer_rag.model import embedding_size

        embedding_size(self._shared.model, self.dimensions)
        self._embedder = Embedder(self._shared, remedy=_REMEDY)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text, in order; a blank one gets that of the empty text.

        Raises:
            InputError: a text is no string; names its position.
        """
        return self._embedder.embed(
            texts, "document", instruction=self.text_instruction, dimensions=self.dimensions
        )

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query.

        Raises:
            InputError: the query is empty or no string.
        """
        return self._embedder.embed(
            [text], "query", instruction=self.query_instruction, dimensions=self.dimensions
        )[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` without blocking the event loop, nor a thread while the model works."""
        return await self._embedder.aembed(
            texts, "document", instruction=self.text_instruction, dimensions=self.dimensions
        )

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query` without blocking the event loop, nor a thread while the model works."""
        vectors = await self._embedder.aembed(
            [text], "query", instruction=self.query_instruction, dimensions=self.dimensions
        )
        return vectors[0]

    @property
    def cache_namespace(self) -> str:
        """A namespace for `CacheBackedEmbeddings`: another one wherever vectors may differ.

        It stands for the checkpoint's content, the size and both instructions. Give queries a
        store of their own: with `query_embedding_cache=True` a query gets the cached vector of a
        document with the same text, which is another one under an instruction.

        >>> CacheBackedEmbeddings.from_bytes_store(                    # doctest: +SKIP
        ...     embeddings,
        ...     LocalFileStore("cache/documents"),
        ...     query_embedding_cache=LocalFileStore("cache/queries"),
        ...     namespace=embeddings.cache_namespace,
        ...     key_encoder="sha256",
        ... )
        """
        model = self._shared.model
        size = self.dimensions or model.dimension
        given = {"query": self.query_instruction, "document": self.text_instruction}
        own = model.prompts.items()
        query, text = (text if given[side] is None else given[side] for side, text in own)
        decisive = [model.checkpoint_digest, size, query, text]
        return f"unimoer-{hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:32]}-"
