"""Cross encoding: query and document are read together, and one logit says how relevant it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from unimoer_rag.model.tasks.head import Footing, ScoringHead
from unimoer_rag.model.tasks.row_mlp import RowMlp

if TYPE_CHECKING:
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = ["CrossHead"]


class CrossHead(RowMlp, ScoringHead):
    """A relevance logit of a pair. An untrained head scores every pair alike."""

    settings = ("document_first",)
    joint = True

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__(width, 1, causal=causal)

    @classmethod
    def build(cls, task: Task, on: Footing) -> CrossHead:
        """That of a task, as it is before training."""
        return cls(on.width, causal=on.causal)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[Tensor]:
        """Each pair's logit, float32 `[]`."""
        return list(self.row_logits(hidden, rows).squeeze(-1))
