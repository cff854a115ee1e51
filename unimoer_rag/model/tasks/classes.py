"""Classification: labels of a text, or of two texts read together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.head import ClassifyingHead, Footing
from unimoer_rag.model.tasks.row_mlp import RowMlp

if TYPE_CHECKING:
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = ["ClassHead"]


class ClassHead(RowMlp, ClassifyingHead):
    """A logit a label. An untrained head finds every label as likely."""

    settings = ("labels",)

    @classmethod
    def check(cls, task: Task) -> None:
        """Refuse fewer than two labels, empty ones, and one given twice."""
        labels = task.labels
        if len(labels) < 2 or not all(label.strip() for label in labels):
            raise InputError(
                f"task {task.name!r} has the labels {', '.join(map(repr, labels)) or 'none'}: "
                "expected at least two, none empty"
            )
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise InputError(
                f"task {task.name!r} has the label {twice[0]!r} more than once: expected each once"
            )

    @classmethod
    def build(cls, task: Task, on: Footing) -> ClassHead:
        """That of a task, as it is before training."""
        return cls(on.width, len(task.labels), causal=on.causal)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[Tensor]:
        """Each row's logits, float32 `[labels]`."""
        return list(self.row_logits(hidden, rows))
