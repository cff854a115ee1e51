"""Matryoshka representation learning: one loss on several lengths of the same vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from unimoer_rag.errors import TrainingError

__all__ = ["matryoshka"]


def matryoshka(
    loss: Callable[[Tensor, Tensor], Tensor],
    queries: Tensor,
    documents: Tensor,
    *,
    dimensions: Sequence[int],
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Weighted sum of a loss over vectors cut to their first dimensions (Kusupati et al. 2022).

    Args:
        loss: of query and document vectors, such as `info_nce` with all else bound.
        queries: `[q, d]`.
        documents: `[n, d]`.
        dimensions: lengths to train; the cut vectors are L2-normalised again. Name `d` among them
            to train the whole vectors too.
        weights: of each length's loss; 1 each when None.

    Raises:
        TrainingError: a length is not between 1 and `d`, or weights and lengths differ in number.
    """
    width = queries.shape[-1]
    if not dimensions or not all(0 < dimension <= width for dimension in dimensions):
        raise TrainingError(
            f"matryoshka dimensions {list(dimensions)}: expected at least one, each between 1 and "
            f"the model's {width}; correct them in the recipe"
        )
    weights = [1.0] * len(dimensions) if weights is None else weights
    if len(weights) != len(dimensions):
        raise TrainingError(
            f"{len(weights)} matryoshka weights for {len(dimensions)} dimensions: give one for "
            "each, or none"
        )
    parts = [
        weight * loss(_cut(queries, dimension), _cut(documents, dimension))
        for dimension, weight in zip(dimensions, weights, strict=True)
    ]
    return torch.stack(parts).sum()


def _cut(vectors: Tensor, dimension: int) -> Tensor:
    return functional.normalize(vectors[..., :dimension], dim=-1)
