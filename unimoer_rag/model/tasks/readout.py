"""Read-out: from a batch's last hidden states to each row's answer, by its task's head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor, nn

from unimoer_rag.model.batching import Batch
from unimoer_rag.model.tasks.heads import (
    ClassHead,
    CrossHead,
    SpanHead,
    SpanScores,
    pool,
)
from unimoer_rag.model.tasks.late import LateHead, LateState, punctuation_ids
from unimoer_rag.model.tasks.task import Task

__all__ = ["Output", "new_head", "read_out", "tensors"]

Output = Tensor | LateState | SpanScores


def tensors(output: LateState | SpanScores) -> dict[str, Tensor]:
    """The tensors of an output that has several, by name."""
    held = {field.name: getattr(output, field.name) for field in fields(output)}
    return {name: value for name, value in held.items() if isinstance(value, Tensor)}


def new_head(task: Task, *, width: int, causal: bool, tokenizer: Any) -> nn.Module:
    """A head for a task, as it is before training; not for "vector", which has none.

    Args:
        task: the task.
        width: hidden size of the backbone.
        causal: the backbone is a decoder.
        tokenizer: its tokenizer, asked which tokens are punctuation.
    """
    if task.head == "late":
        return LateHead(punctuation_ids(tokenizer))
    if task.head == "class":
        return ClassHead(width, len(task.labels), causal=causal)
    kind = CrossHead if task.head == "cross" else SpanHead
    return kind(width, causal=causal)


def read_out(batch: Batch, hidden: Tensor, heads: nn.ModuleDict, *, causal: bool) -> list[Output]:
    """Each row's answer, in row order.

    Args:
        batch: the rows.
        hidden: their last hidden states `[rows, tokens, width]`.
        heads: by task; none for "vector".
        causal: the backbone is a decoder.
    """
    outputs: dict[int, Output] = {}
    for name in {row.task.name for row in batch.rows}:
        at = [i for i, row in enumerate(batch.rows) if row.task.name == name]
        rows = [batch.rows[i] for i in at]
        states = hidden if len(at) == len(batch.rows) else hidden[at]
        mask = batch.mask if len(at) == len(batch.rows) else batch.mask[at]
        head = rows[0].task.head
        if head == "vector":
            answers: Sequence[Output] = list(pool(states, mask, causal=causal))
        elif head == "late":
            pooled = pool(states, mask, causal=causal)
            late: LateHead = heads[name]  # type: ignore[assignment]
            answers = [late.state(s, r, p) for s, r, p in zip(states, rows, pooled, strict=True)]
        else:
            answers = list(heads[name](states, rows))
        outputs.update(zip(at, answers, strict=True))
    return [outputs[i] for i in range(len(batch.rows))]
