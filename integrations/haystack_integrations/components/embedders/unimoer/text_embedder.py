"""Embedding of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from haystack import component, default_to_dict
from haystack_integrations.common.unimoer import LazyModel, ModelComponent
from haystack_integrations.components.embedders.unimoer.embedding import Embedding

from unimoer_rag import steps

if TYPE_CHECKING:
    pass

__all__ = ["UniMoERTextEmbedder"]


@component
class UniMoERTextEmbedder(ModelComponent):
    """Embeds a query, for the retriever of a document store; vectors are L2-normalised.

    Documents are embedded by `UniMoERDocumentEmbedder`. Both hold one live model, loaded when the
    first of them is warmed up.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        prefix: goes before the query; None for the model's own, "" for none.
        dimensions: size of the vector, where the checkpoint was trained to be cut; None for all.

    Raises:
        InputError: a name is no text.

    >>> UniMoERTextEmbedder().run("how do refunds work?")["embedding"]     # doctest: +SKIP
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
    ) -> None:
        self._model = LazyModel(model, revision=revision, device=device, dtype=dtype)
        self._embedding = Embedding(self._model, "query", prefix=prefix, dimensions=dimensions)

    def to_dict(self) -> dict[str, Any]:
        """What makes the same component again."""
        own = {"prefix": self._embedding.prefix, "dimensions": self._embedding.dimensions}
        return default_to_dict(self, **self._model.settings, **own)

    def warm_up(self) -> None:
        """Load the model, or share the one that is loaded.

        Raises:
            CheckpointError: no checkpoint there, or a damaged one.
            BackboneError: its backbone cannot be had.
            InputError: the size, device or dtype cannot be used.
        """
        self._embedding.warm_up()

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """The vector of a query, as `embedding`.

        Raises:
            InputError: the query is empty or no string.
        """
        return {"embedding": steps.run(self._embedding.of([text]))[0]}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """`run` without blocking the event loop, nor a thread while the model works."""
        return {"embedding": (await steps.arun(self._embedding.of([text])))[0]}
