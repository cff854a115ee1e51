"""What retrieval, pipelines and evaluation need of a model; a `UniMoER` gives it all.

`retrieval.other_models` puts models of LangChain and of sentence-transformers behind these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.model import Side

__all__ = ["Embeds", "Identified", "Ranks"]


class Identified(Protocol):
    """What an index records of the model that it was built with."""

    @property
    def checkpoint(self) -> str:
        """Its name, for messages."""

    @property
    def checkpoint_digest(self) -> str:
        """Differs between models that embed differently."""


class Embeds(Identified, Protocol):
    """Texts to vectors: finds. It is asked by one thread at a time."""

    @property
    def dimension(self) -> int:
        """Length of the vectors; 0 for what makes none, whose index is searched by words."""

    @property
    def tokenizer(self) -> Any:
        """A fast tokenizer of transformers, which documents are cut by; None where there is none.

        Documents are then kept whole.
        """

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """L2-normalised vectors, float32 `[n, dimension]`, of queries or of documents."""


class Ranks(Protocol):
    """Scores a query's documents: reranks. It is asked by one thread at a time."""

    @property
    def probabilistic(self) -> bool:
        """Whether its scores are probabilities of relevance, in [0, 1].

        A reader weighs what it finds in a passage by those, and by nothing else: other scores order
        hits, and are not kept.
        """

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the documents, float32 `[n]`, higher is better."""
