"""The protocol of everything that a data set can measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.model import Side
from unimoer_rag.retrieval import Embeds, Ranks

__all__ = ["Embedder", "Ranker", "Rescorer", "System"]


class Embedder(Protocol):
    """Texts to vectors: the first stage of a baseline."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """What is loaded for it."""

    def describe(self) -> Mapping[str, Any]:
        """JSON-ready: what it is made of; `model` is its name."""

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """L2-normalised vectors, float32 `[n, dimension]`, of queries or of documents."""


class Ranker(Ranks, Protocol):
    """Scores a query's documents: the second stage of a baseline."""

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """What is loaded for it; a model shared with the embedder is named by both."""

    def describe(self) -> Mapping[str, Any]:
        """JSON-ready: what it is made of; `model` is its name."""


class Rescorer(Protocol):
    """Ranks texts; every `System` does."""

    def rank(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float32]]:
        """Scores of each question's documents, higher is better; only their order counts.

        Args:
            questions: one for each list of documents.
            documents: as the model sees them, the title first.
        """


class System(Rescorer, Protocol):
    """Finds passages of a corpus for questions, ranks texts, and may read answers out of them."""

    @property
    def name(self) -> str:
        """What results call it."""

    @property
    def reranks(self) -> bool:
        """Whether it has a second stage."""

    @property
    def embeds(self) -> Embeds:
        """Finds: an index is filled and searched by its vectors."""

    @property
    def ranker(self) -> Ranks | None:
        """Reranks what a search finds; None where `embeds` does it too, or nothing does."""

    @property
    def reader(self) -> Engine | None:
        """Runs the READ task for it; None where nothing reads."""

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """Everything that is loaded for finding and ranking, the reader included."""

    def describe(self) -> Mapping[str, Any]:
        """JSON-ready: checkpoints, revisions and settings that its numbers depend on."""

    def forget(self) -> None:
        """Drop what is cached between calls, so that the next one is timed as a first one."""
