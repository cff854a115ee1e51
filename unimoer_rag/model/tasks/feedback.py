"""Pseudo-relevance feedback: a query's best documents ask too, and its worst say what to avoid."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Consulted"]


@dataclass(frozen=True, slots=True)
class Consulted:
    """What feedback knows of a query's documents.

    Attributes:
        own: their logits, float32 `[n]`.
        weights: of the leaders, the documents that score best: float32 `[leaders]`, summing to 1.
        trust: in each leader, float32 `[leaders]` in [0, 1].
        like: logits of the documents with each leader as the query, float32 `[leaders, n]`.
        unlike: likeness of each document to those that score worst, float32 `[n]`.
    """

    own: Tensor
    weights: Tensor
    trust: Tensor
    like: Tensor
    unlike: Tensor

    def blended(self, feedback: float, contrast: float) -> Tensor:
        """What `LateHead.rank` orders the documents by, float32 `[n]`."""
        share = feedback * (self.weights @ self.trust)
        said = self.weights @ self.like - contrast * self.unlike
        return (1 - share) * self.own + share * said
