"""The vectors of an index, for whoever asks a vector store for its embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.embeddings import Embeddings

from langchain_unimoer.embeddings import UniMoEREmbeddings
from unimoer_rag.errors import InputError
from unimoer_rag.steps import Steps, apart, arun, result, run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["IndexEmbeddings", "model_of"]


class IndexEmbeddings(Embeddings):
    """Embeds as a `UnifiedRetriever` does, on the weights that it holds.

    Args:
        retriever: of the index.
    """

    def __init__(self, retriever: UnifiedRetriever) -> None:
        self._retriever = retriever

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text, in order."""
        return _floats(run(self.vectors(texts, "document")))

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query.

        Raises:
            InputError: the query is empty.
        """
        return _floats(run(self.vectors([text], "query")))[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` without blocking the event loop."""
        return _floats(await arun(self.vectors(texts, "document")))

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query` without blocking the event loop."""
        return _floats(await arun(self.vectors([text], "query")))[0]

    def vectors(
        self, texts: Sequence[str], side: Literal["query", "document"]
    ) -> Steps[NDArray[np.float32]]:
        """L2-normalised vectors, float32 `[n, dimension]`."""
        from unimoer_rag.model import UniMoER, embedding

        embeds = self._retriever.embeds
        if not isinstance(embeds, UniMoER):
            return (yield from apart(embeds.embed, texts, side))
        size, blank = self._retriever.dimensions, side == "document"
        job = yield from apart(embedding, embeds, texts, side, dimensions=size, blank=blank)
        return (yield from result(self._retriever.engine.submit(job)))


def _floats(vectors: Any) -> list[list[float]]:
    floats: list[list[float]] = vectors.tolist()
    return floats


def model_of(embedding: Embeddings | None) -> dict[str, Any]:
    """The settings of a retriever that embeds as these embeddings do.

    Raises:
        InputError: they are none of ours, or have instructions of their own.
    """
    if embedding is None:
        return {}
    if not isinstance(embedding, UniMoEREmbeddings):
        raise InputError(
            f"embedding is a {type(embedding).__name__}: expected a UniMoEREmbeddings or None; for "
            "another one, give model=LangChainEmbeds(embedding, name=...) of unimoer_rag.retrieval"
        )
    if embedding.query_instruction is not None or embedding.text_instruction is not None:
        raise InputError(
            "the embedding has instructions of its own, and an index is searched by the model's: "
            "leave query_instruction and text_instruction out"
        )
    return {"model": embedding.unimoer, "dimensions": embedding.dimensions}
