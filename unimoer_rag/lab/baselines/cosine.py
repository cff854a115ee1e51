"""The simplest second stage: the vectors of the first one, made anew and compared by cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.evaluation import Embedder
from unimoer_rag.model import Side, UniMoER

__all__ = ["CosineRanker", "ModelEmbedder"]


class ModelEmbedder:
    """A model's EMBED task: of a bare backbone, its states pooled as its family is.

    Args:
        model: the model.
    """

    def __init__(self, model: UniMoER) -> None:
        self.model, self.dimension = model, model.dimension

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """The model."""
        return [self.model]

    def describe(self) -> Mapping[str, Any]:
        """The weights, by digest, and their precision."""
        return {
            "model": self.model.checkpoint,
            "sha256": self.model.checkpoint_digest,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        return Engine.of(self.model).embed(texts, side)


class CosineRanker:
    """Ranks by an embedder's cosines: something only over what another first stage found.

    Args:
        embedder: gives the vectors.
    """

    probabilistic = False

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """Those of the embedder."""
        return self._embedder.modules

    def describe(self) -> Mapping[str, Any]:
        """The embedder, and what is done with it."""
        return {**self._embedder.describe(), "score": "cosine"}

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Cosines in [-1, 1]; see `Ranker.rank`."""
        asked = self._embedder.embed([query], "query")[0]
        scores: NDArray[np.float32] = self._embedder.embed(documents, "document") @ asked
        return scores
