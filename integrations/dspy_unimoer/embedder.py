"""Vectors for `dspy.Embedder`, and for whatever else takes a function from texts to vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.model import Side, UniMoER

__all__ = ["UniMoEREmbedder"]

_REMEDY = "cut them shorter, to {size} tokens"


class UniMoEREmbedder:
    """L2-normalised vectors of texts, as `dspy.Embedder` and `dspy.retrievers.Embeddings` take.

    `dspy.Embedder` keeps what it computed, also on disk. It knows a function by its name, so this
    one's `__name__` is another wherever vectors may differ: it stands for the checkpoint's content,
    the side, the size and the instruction.

    A document without a visible character gets the vector of the empty text. Texts longer than the
    model reads are embedded by their beginning; one warning tells of the first.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        side: whether texts are "document" or "query": it matters where the model has prompts
            (`UniMoEREmbedder(...).unimoer.prompts`).
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        instruction: goes before every text; None for the model's own of that side, "" for none.
        dimensions: size of the vectors, where the checkpoint was trained to be cut; None for all.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        InputError: the side or size is none that there is, or the device or dtype cannot be used.

    >>> embedder = dspy.Embedder(UniMoEREmbedder())                        # doctest: +SKIP
    >>> search = dspy.retrievers.Embeddings(corpus, embedder, k=3)         # doctest: +SKIP
    """

    def __init__(
        self,
        model: str = "unimoer-minilm",
        *,
        side: Side = "document",
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        instruction: str | None = None,
        dimensions: int | None = None,
    ) -> None:
        if side not in ("document", "query"):
            raise InputError(f"side is {side!r}: expected 'document' or 'query'")
        # Here, since they import torch, which importing the adapter must not.
        from unimoer_rag.engine import Embedder, SharedModel
        from unimoer_rag.model import embedding_size

        self._shared = SharedModel(model, revision=revision, device=device, dtype=dtype)
        embedding_size(self._shared.model, dimensions)
        self.side, self.instruction, self.dimensions = side, instruction, dimensions
        self._embedder = Embedder(self._shared, remedy=_REMEDY)
        self.__name__ = self._name()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector for each text, in order: float32 `[n, dimensions]`.

        Raises:
            InputError: a text is no string, or a query is empty; names its position.
        """
        vectors = self._embedder.embed(
            texts, self.side, instruction=self.instruction, dimensions=self.dimensions
        )
        return np.asarray(vectors, dtype=np.float32)

    @property
    def unimoer(self) -> UniMoER:
        """The live model, which everything that names the same checkpoint holds."""
        return self._shared.model

    def _name(self) -> str:
        model = self.unimoer
        prompt = model.prompts[self.side] if self.instruction is None else self.instruction
        decisive = [model.checkpoint_digest, self.dimensions or model.dimension, self.side, prompt]
        return f"unimoer-{hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:32]}"
