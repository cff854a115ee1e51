"""Embedding as frameworks expect it: no text of an ingestion stops the rest."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine.shared import SharedModel
from unimoer_rag.model import Job, Side, embedding
from unimoer_rag.steps import Steps, apart, arun, result, run

__all__ = ["Embedder"]


class Embedder:
    """Gives every text a vector, and tells once where texts were too long to be read whole.

    A document without a visible character gets the vector of the empty text, a blank query is
    refused. Pickled or copied, it tells once again.

    Args:
        shared: the model.
        remedy: what to do about texts that are cut; `{size}` in it is replaced by a number of
            tokens that leaves room for another tokenizer's counting, and for metadata.
    """

    def __init__(self, shared: SharedModel, *, remedy: str) -> None:
        self._shared, self._remedy, self._told = shared, remedy, False

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (self._shared, self._remedy)

    def embed(
        self,
        texts: Sequence[str],
        side: Side,
        *,
        instruction: str | None = None,
        dimensions: int | None = None,
    ) -> list[list[float]]:
        """One L2-normalised vector of Python's floats for each text, in order.

        Raises:
            InputError: a text is no string, or a query is empty; names its position.
        """
        return run(self._embed(texts, side, instruction, dimensions))

    async def aembed(
        self,
        texts: Sequence[str],
        side: Side,
        *,
        instruction: str | None = None,
        dimensions: int | None = None,
    ) -> list[list[float]]:
        """`embed` without blocking the event loop, nor a thread while the model works."""
        return await arun(self._embed(texts, side, instruction, dimensions))

    def _embed(
        self, texts: Sequence[str], side: Side, instruction: str | None, dimensions: int | None
    ) -> Steps[list[list[float]]]:
        # Tokenising many texts takes a while.
        job = yield from apart(self._job, texts, side, instruction, dimensions)
        vectors = yield from result(self._shared.engine.submit(job))
        floats: list[list[float]] = vectors.tolist()  # Python's own, which frameworks write as JSON
        return floats

    def _job(
        self, texts: Sequence[str], side: Side, instruction: str | None, dimensions: int | None
    ) -> Job[NDArray[np.float32]]:
        documents = side == "document"
        job = embedding(
            self._shared.model,
            texts,
            side,
            instruction=instruction,
            dimensions=dimensions,
            blank=documents,
        )
        if documents and job.n_truncated and not self._told:
            self._told = True
            self._tell(job.n_truncated, len(job.rows))
        return job

    def _tell(self, n: int, total: int) -> None:
        model = self._shared.model
        limit = min(model.task("embed").max_tokens, model.rows.max_positions)
        warnings.warn(
            f"{n} of {total} texts are longer than the {limit} tokens that {self._shared.name} "
            "reads, and are embedded by their beginning alone: "
            f"{self._remedy.format(size=limit * 3 // 4)}. Later ones are not told of",
            stacklevel=5,
        )


def _made(shared: SharedModel, remedy: str) -> Embedder:
    return Embedder(shared, remedy=remedy)
