"""Embeddings: a text's vector is the pooled states of its tokens. No weights of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.head import EmbeddingHead, Footing
from unimoer_rag.model.tasks.pooling import Pooler

if TYPE_CHECKING:
    from unimoer_rag.model.published import Published
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = ["VectorHead"]


class VectorHead(EmbeddingHead):
    """Gives a row's pooled vector.

    Args:
        causal: the backbone is a decoder.
        published: how the backbone's folder says that it embeds.
    """

    settings = ("dimensions", "queries_only")
    instructed = True

    def __init__(self, *, causal: bool, published: Published | None = None) -> None:
        super().__init__(causal=causal)
        self.pooler = Pooler(published, causal=causal)

    @classmethod
    def check(cls, task: Task) -> None:
        """Refuse sizes that no embedding can be cut to."""
        if task.dimensions and min(task.dimensions) < 1:
            raise InputError(
                f"task {task.name!r} has the dimensions {task.dimensions}: expected positive sizes"
            )

    @classmethod
    def build(cls, task: Task, on: Footing) -> VectorHead:
        """That of a task, as the backbone was published."""
        return cls(causal=on.causal, published=on.published)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[Tensor]:
        """Each row's vector, float32 `[dimension]`."""
        return list(self.pooler(hidden, rows, mask))
