"""Embedding of documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from haystack import Document, component, default_to_dict
from haystack_integrations.common.unimoer import LazyModel, ModelComponent, texts_of
from haystack_integrations.components.embedders.unimoer.embedding import Embedding

from unimoer_rag import steps

if TYPE_CHECKING:
    pass

__all__ = ["UniMoERDocumentEmbedder"]


@component
class UniMoERDocumentEmbedder(ModelComponent):
    """Embeds documents, to be written into a document store; vectors are L2-normalised.

    A document without a visible character gets the vector of the empty text. Texts longer than the
    model reads are embedded by their beginning; one warning tells of the first.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        prefix: goes before every text; None for the model's own, "" for none.
        dimensions: size of the vectors, where the checkpoint was trained to be cut; None for all.
        meta_fields_to_embed: metadata whose values are embedded before the text.
        embedding_separator: stands between these and the text.

    Raises:
        InputError: a name is no text.

    >>> UniMoERDocumentEmbedder().run([Document(content="Free.")])     # doctest: +SKIP
    """

    def __init__(
        self,
        model: str = "unimoer-minilm",
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        prefix: str | None = None,
        dimensions: int | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        self._model = LazyModel(model, revision=revision, device=device, dtype=dtype)
        self._embedding = Embedding(self._model, "document", prefix=prefix, dimensions=dimensions)
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    def to_dict(self) -> dict[str, Any]:
        """What makes the same component again."""
        return default_to_dict(
            self,
            **self._model.settings,
            prefix=self._embedding.prefix,
            dimensions=self._embedding.dimensions,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    def warm_up(self) -> None:
        """Load the model, or share the one that is loaded.

        Raises:
            CheckpointError: no checkpoint there, or a damaged one.
            BackboneError: its backbone cannot be had.
            InputError: the size, device or dtype cannot be used.
        """
        self._embedding.warm_up()

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Copies of the documents with their vectors, in order, as `documents`.

        Raises:
            InputError: something is no document; names its position.
        """
        return {"documents": steps.run(self._embedded(documents))}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` without blocking the event loop, nor a thread while the model works."""
        return {"documents": await steps.arun(self._embedded(documents))}

    def _embedded(self, documents: list[Document]) -> steps.Steps[list[Document]]:
        texts = texts_of(documents, self.meta_fields_to_embed, self.embedding_separator)
        vectors = (yield from self._embedding.of(texts)) if texts else []
        return [
            replace(document, embedding=vector)
            for document, vector in zip(documents, vectors, strict=True)
        ]
