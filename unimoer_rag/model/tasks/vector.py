"""Embeddings: a text's vector is the pooled states of its tokens. No weights of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.head import EmbeddingHead

if TYPE_CHECKING:
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = ["VectorHead", "pool"]


class VectorHead(EmbeddingHead):
    """Gives a row's pooled vector."""

    settings = ("dimensions",)
    instructed = True

    @classmethod
    def check(cls, task: Task) -> None:
        """Refuse sizes that no embedding can be cut to."""
        if task.dimensions and min(task.dimensions) < 1:
            raise InputError(
                f"task {task.name!r} has the dimensions {task.dimensions}: expected positive sizes"
            )

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[Tensor]:
        """Each row's vector, float32 `[width]`."""
        return list(pool(hidden, mask, causal=self.causal))


def pool(hidden: Tensor, mask: Tensor, *, causal: bool) -> Tensor:
    """L2-normalised text vectors: the mean of real tokens, or the last one on decoders.

    Args:
        hidden: `[rows, tokens, width]`.
        mask: bool `[rows, tokens]`.
        causal: the backbone is a decoder.

    Returns:
        float32 `[rows, width]`.
    """
    if causal:
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(-1) - 1].float()
    else:
        weight = mask.float().unsqueeze(-1)
        pooled = (hidden.float() * weight).sum(1) / weight.sum(1)
    return functional.normalize(pooled, dim=-1)
