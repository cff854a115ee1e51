"""What both embedders do: texts to vectors, by the shared model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from haystack_integrations.common.unimoer import LazyModel

from unimoer_rag.steps import Steps, either

if TYPE_CHECKING:
    from unimoer_rag.engine import Embedder
    from unimoer_rag.model import Side

__all__ = ["Embedding"]

_REMEDY = (
    "cut them shorter, say by RecursiveDocumentSplitter(split_length={size}, split_overlap=32, "
    "split_unit='token')"
)


class Embedding:
    """L2-normalised vectors by the model's EMBED task.

    Args:
        model: what embeds.
        side: whether texts are queries or documents.
        prefix: goes before every text; None for the model's own, "" for none.
        dimensions: size of the vectors, where the checkpoint was trained to be cut; None for all.
    """

    def __init__(
        self, model: LazyModel, side: Side, *, prefix: str | None, dimensions: int | None
    ) -> None:
        self.model, self.side, self.prefix, self.dimensions = model, side, prefix, dimensions
        self._embedder: Embedder | None = None

    def warm_up(self) -> Embedder:
        """Load the model and refuse a size that it does not give.

        Raises:
            CheckpointError: no checkpoint there, or a damaged one.
            BackboneError: its backbone cannot be had.
            InputError: the size, device or dtype cannot be used.
        """
        if self._embedder is None:
            from unimoer_rag.engine import Embedder
            from unimoer_rag.model import embedding_size

            shared = self.model.load()
            embedding_size(shared.model, self.dimensions)
            self._embedder = Embedder(shared, remedy=_REMEDY)
        return self._embedder

    def of(self, texts: Sequence[str]) -> Steps[list[list[float]]]:
        """One vector for each text, in order.

        Raises:
            InputError: a text is no string, or a query is empty; names its position.
        """
        embedder = self.warm_up()
        return either(
            embedder.embed,
            embedder.aembed,
            texts,
            self.side,
            instruction=self.prefix,
            dimensions=self.dimensions,
        )
