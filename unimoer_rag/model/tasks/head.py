"""What every head is: a module that reads rows' answers from hidden states, all in float32.

One file a head, with its settings, its weights, its read-out and how its job is finished. To add
one: write its file, then name it in `registry.HEADS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unimoer_rag.errors import UnimoerError

if TYPE_CHECKING:
    from unimoer_rag.model.batching import Batch
    from unimoer_rag.model.published import Published
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.span import Reading
    from unimoer_rag.model.tasks.task import Task

__all__ = [
    "ClassifyingHead",
    "EmbeddingHead",
    "Footing",
    "Head",
    "Output",
    "ReadingHead",
    "ScoringHead",
    "check_numbers",
    "read_out",
    "tensors",
]

# Of one row: a tensor, or a frozen dataclass with tensors, as the head has it.
Output = Any


@dataclass(frozen=True, slots=True)
class Footing:
    """What of a backbone a head is built on.

    Attributes:
        width: hidden size.
        causal: it is a decoder.
        tokenizer: its own.
        published: how its folder says that it embeds; None where it does not say.
    """

    width: int
    causal: bool
    tokenizer: Any
    published: Published | None = None


class Head(nn.Module):
    """Base of the heads; those below say what a head is asked for.

    Args:
        causal: the backbone is a decoder.

    Attributes:
        settings: fields of `Task` that it takes, beside those of every task.
        joint: query and document are encoded together, as one row.
        instructed: an instruction goes before its texts.
        learnt: it answers by weights of its own, which mean nothing before they are trained.
        by_token: those weights are multiplied at every token, not once a row.
        kept: an output serves later queries, so that the engine keeps it; it tells its `nbytes`.
        as_published: it answers as the backbone's folder says, and reads rows framed in its way.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    joint: ClassVar[bool] = False
    instructed: ClassVar[bool] = False
    learnt: ClassVar[bool] = False
    by_token: ClassVar[bool] = False
    kept: ClassVar[bool] = False
    as_published: ClassVar[bool] = False

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    @classmethod
    def check(cls, task: Task) -> None:
        """Refuse a task whose settings have values that it cannot use.

        Raises:
            InputError: one has.
        """

    @classmethod
    def build(cls, task: Task, on: Footing) -> Head:
        """That of a task, as it is before training.

        Args:
            task: the task.
            on: the backbone that it reads.
        """
        return cls(causal=on.causal)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> Sequence[Output]:
        """Each row's answer.

        Args:
            hidden: last hidden states `[rows, tokens, width]`.
            rows: the rows.
            mask: bool `[rows, tokens]`: real tokens.
        """
        raise NotImplementedError


class EmbeddingHead(Head):
    """Embeds: an output is a text's L2-normalised vector, float32 `[width]`."""


class ScoringHead(Head):
    """Scores documents for a query.

    Outputs are those of `RowMaker.compared`: one a document where the head is joint, else the
    query's and then one a document.
    """

    def logits(self, outputs: Sequence[Output]) -> Tensor:
        """Relevance logits float32 `[documents]`, each document for itself."""
        return torch.stack(list(outputs))

    def ranking_logits(self, outputs: Sequence[Output], task: Task) -> Tensor:
        """Logits to order documents by, which may depend on each other."""
        return self.logits(outputs)

    def scores(self, logits: Tensor, outputs: Sequence[Output]) -> Tensor:
        """What logits stand for, in [0, 1] and in their order: by default a probability."""
        return logits.sigmoid()


class ReadingHead(Head):
    """Finds answers in passages: joint, and an output is `SpanScores`, to learn by."""

    def reading(self, output: Output, row: Row, passage: str) -> Reading:
        """The best answer of one passage, from its row and its row's output."""
        raise NotImplementedError


class ClassifyingHead(Head):
    """Tells `Task.labels` apart: an output is their logits, float32 `[labels]`."""


def check_numbers(values: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    """The values, none of which is "not a number".

    Raises:
        UnimoerError: one is: no order and no comparison would mean anything.
    """
    if np.isnan(values).any():
        raise UnimoerError(
            f"the model gave {what} that are not numbers (NaN): its weights are out of what its "
            "dtype can compute with; load it in 'float32' or 'bfloat16', or get its files again"
        )
    return values


def tensors(output: Output) -> dict[str, Tensor]:
    """The tensors of an output that has several, by name."""
    held = {field.name: getattr(output, field.name) for field in fields(output)}
    return {name: value for name, value in held.items() if isinstance(value, Tensor)}


def read_out(batch: Batch, hidden: Tensor, heads: nn.ModuleDict) -> list[Output]:
    """Each row's answer, in row order.

    Args:
        batch: the rows.
        hidden: their last hidden states `[rows, tokens, width]`.
        heads: by task.
    """
    outputs: dict[int, Output] = {}
    for name in {row.task.name for row in batch.rows}:
        at = [i for i, row in enumerate(batch.rows) if row.task.name == name]
        whole = len(at) == len(batch.rows)
        states, mask = (hidden, batch.mask) if whole else (hidden[at], batch.mask[at])
        answers = heads[name](states, [batch.rows[i] for i in at], mask)
        outputs.update(zip(at, answers, strict=True))
    return [outputs[i] for i in range(len(batch.rows))]
