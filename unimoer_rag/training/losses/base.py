"""What a loss is: what a recipe says of it, what it asks of the data, and its formula.

A loss is a subclass of `GroupLoss`, or of `Loss` where a group alone does not tell it enough. That
one class is all there is to it: it is known to recipes by its `kind` from its definition on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from unimoer_rag.data import Part

__all__ = ["LOSSES", "Candidates", "GroupLoss", "Loss", "VectorBatch", "one_of"]

# Cosine of a masked candidate: far below any real one once divided by a temperature, and finite.
_MASKED = -1e4


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of one query as they were scored, the one that answers first.

    Attributes:
        logits: the model's, float32 `[n]`, with gradient.
        scores: a teacher's, or graded labels; empty where the group has none.
        frozen: the frozen backbone's, `[n]`; None where no loss of the objective needs them.
    """

    logits: Tensor
    scores: Sequence[float] = ()
    frozen: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """1 for the one that answers, 0 for the others, `[n]`."""
        labels = torch.zeros_like(self.logits)
        labels[0] = 1.0
        return labels

    @property
    def teacher(self) -> Tensor:
        """The scores, `[n]`; the labels where there are none."""
        if not self.scores:
            return self.labels
        return torch.tensor(self.scores, dtype=self.logits.dtype, device=self.logits.device)


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """The vectors of the queries and documents that a contrastive objective draws at once.

    Attributes:
        queries: L2-normalised `[q, d]`.
        documents: L2-normalised `[n, d]`, each once.
        own: of each query, the columns of its positive and then of its mined negatives.
        masked: bool `[q, n]`, further answers of a query, which are no negatives of it.
        temperature: divides cosines.
        scores: of each query's own documents; see `Candidates`.
        dimensions: weights of the contrast at smaller sizes (Matryoshka).
        frozen: the same from the frozen backbone; None where no loss of the objective needs it.
        compared: of every query with every document by the task's head, float32 `[q, n]` logits;
            None where no loss of the objective needs them.
    """

    queries: Tensor
    documents: Tensor
    own: Sequence[Sequence[int]]
    masked: Tensor
    temperature: float
    scores: Sequence[Sequence[float]]
    dimensions: Mapping[int, float] = field(default_factory=dict)
    frozen: VectorBatch | None = None
    compared: Tensor | None = None

    @property
    def positives(self) -> Tensor:
        """int64 `[q]`, the column of each query's positive."""
        return torch.tensor([own[0] for own in self.own], device=self.documents.device)

    @property
    def logits(self) -> Tensor:
        """Of every query with every document `[q, n]`, further answers masked."""
        cosines = self.queries @ self.documents.T
        return cosines.masked_fill(self.masked, _MASKED) * (1 / self.temperature)

    def groups(self) -> Iterator[Candidates]:
        """Each query with its own documents."""
        frozen = [None] * len(self.own) if self.frozen is None else self.frozen._own_logits()
        for one in zip(self._own_logits(), self.scores, frozen, strict=True):
            yield Candidates(*one)

    def _own_logits(self) -> list[Tensor]:
        logits = self.queries @ self.documents.T * (1 / self.temperature)
        return [row[list(own)] for row, own in zip(logits, self.own, strict=True)]


LOSSES: dict[str, type[Loss]] = {}
"""Every loss, by its `kind`; of two of a kind, the one defined last."""


class Loss(Part):
    """A term of an objective's sum: a part of a recipe that can be computed.

    A subclass has a `kind`, a `Literal` with a default; its docstring's first line goes into the
    docs, and its fields are keys of the recipe.

    Attributes:
        needs_teacher: it learns from scores, which every group then has.
        needs_frozen: it is given the frozen backbone's outputs too.
        needs_tokens: it compares texts by the states of their tokens.
    """

    kind: str
    weight: float = Field(default=1.0, gt=0, description="of this term in the objective's sum")

    needs_teacher: ClassVar[bool] = False
    needs_frozen: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        kind = cls.model_fields["kind"].default
        if isinstance(kind, str):  # else a class between this one and the losses
            LOSSES[kind] = cls

    @abstractmethod
    def batch_loss(self, batch: VectorBatch) -> Tensor:
        """The loss of a contrastive objective's draw, a scalar before its weight."""


class GroupLoss(Loss):
    """A loss of one group; of a batch, the mean over its queries with their own documents."""

    @abstractmethod
    def loss(self, group: Candidates) -> Tensor:
        """The loss of a query's candidates, a scalar before its weight."""

    def batch_loss(self, batch: VectorBatch) -> Tensor:
        """See `Loss`."""
        return torch.stack([self.loss(group) for group in batch.groups()]).mean()


def one_of(base: type[Loss]) -> BeforeValidator:
    """What makes the losses of a recipe from their keys, by their `kind`: those of a base class."""

    def made(value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        known = {kind: loss for kind, loss in LOSSES.items() if issubclass(loss, base)}
        kind = value.get("kind")
        if kind not in known:
            raise ValueError(f"the kind {kind!r}, expected one of {', '.join(known)}")
        return known[kind].model_validate(value)

    return BeforeValidator(made)
