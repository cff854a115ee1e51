"""Distillation losses of one group: a student's logits held against a teacher's scores.

For a mix of hard and soft targets (Hinton et al. 2015), add `kl` to `ranking.lce`, with weights.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from unimoer_rag.training.losses.base import Candidates, GroupLoss, VectorBatch
from unimoer_rag.training.losses.ranking import lce

__all__ = ["Anchor", "Correction", "Kl", "kl"]


class Kl(GroupLoss):
    """KL divergence from the teacher's distribution over the group; needs its scores."""

    kind: Literal["kl"] = "kl"
    needs_teacher: ClassVar[bool] = True
    temperature: float = Field(default=2.0, gt=0, description="divides both sides' scores")

    def loss(self, group: Candidates) -> Tensor:
        """See `kl`."""
        return kl(group.logits, group.teacher, temperature=self.temperature)


class Anchor(GroupLoss):
    """KL divergence from the frozen backbone's own scores."""

    kind: Literal["anchor"] = "anchor"
    needs_frozen: ClassVar[bool] = True
    temperature: float = Field(default=2.0, gt=0, description="divides both sides' scores")

    def loss(self, group: Candidates) -> Tensor:
        """`kl` with the backbone as the teacher."""
        assert group.frozen is not None
        return kl(group.logits, group.frozen, temperature=self.temperature)

    def batch_loss(self, batch: VectorBatch) -> Tensor:
        """Over all documents of the batch, not a query's own alone."""
        assert batch.frozen is not None
        return kl(batch.logits, batch.frozen.logits, temperature=self.temperature)


class Correction(GroupLoss):
    """Cross entropy of logits added to the teacher's scores: what is learnt corrects it.

    A head that starts at zero starts as the teacher ranks.
    """

    kind: Literal["correction"] = "correction"
    needs_teacher: ClassVar[bool] = True
    hold: float = Field(
        default=0.5, ge=0, description="weight of the divergence of the sum from the teacher"
    )

    def loss(self, group: Candidates) -> Tensor:
        """`lce` of the sum, and `kl` that holds it near the teacher."""
        both = group.logits + group.teacher
        return lce(both) + self.hold * kl(both, group.teacher, temperature=1.0)


def kl(logits: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """KL divergence of the student's distribution over candidates from the teacher's.

    Hinton et al. 2015: both sides softened by the temperature, the gradient's scale kept by its
    square.

    Args:
        logits: `[..., n]`, with gradient. Mask candidates by large negative numbers, not infinity.
        teacher: the same shape.
        temperature: softening.
    """
    log_target = (teacher / temperature).log_softmax(-1)
    log_p = (logits / temperature).log_softmax(-1)
    divergence = (log_target.exp() * (log_target - log_p)).sum(-1)
    return divergence.mean() * temperature**2
