"""A head of its own kind, as somebody would add it: this file, and a line in `HEADS`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.head import EmbeddingHead, ScoringHead


class DotHead(EmbeddingHead, ScoringHead):
    """Vectors pooled by the largest value, compared by a scaled cosine."""

    settings = ("dimensions",)

    def __init__(self, *, causal: bool) -> None:
        super().__init__(causal=causal)
        self.scale = nn.Parameter(torch.tensor(3.0))

    @classmethod
    def check(cls, task: Task) -> None:
        if len(task.dimensions) > 1:
            raise InputError(f"task {task.name!r} has more than one size")

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[Tensor]:
        largest = hidden.float().masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(1)
        return list(functional.normalize(largest, dim=-1))

    def logits(self, outputs: Sequence[Tensor]) -> Tensor:
        query, *documents = outputs
        return self.scale * (torch.stack(documents) @ query)
