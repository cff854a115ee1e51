"""Distillation losses of one group: a student's logits held against a teacher's scores.

For a mix of hard and soft targets (Hinton et al. 2015), add `kl` to `ranking.lce`, with weights.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from unimoer_rag.training.losses.base import Candidates, GroupLoss, VectorBatch

__all__ = ["Anchor", "Cprd", "Kl", "MarginMse", "cprd", "kl", "margin_mse"]


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


class MarginMse(GroupLoss):
    """Squared difference of the margins to the positive; needs a teacher's scores."""

    kind: Literal["margin-mse"] = "margin-mse"
    needs_teacher: ClassVar[bool] = True

    def loss(self, group: Candidates) -> Tensor:
        """See `margin_mse`."""
        return margin_mse(group.logits, group.teacher)


def margin_mse(logits: Tensor, teacher: Tensor, positive: int = 0) -> Tensor:
    """Squared error of the margins between positive and negatives (Hofstaetter et al. 2020).

    Args:
        logits: `[n]`.
        teacher: its scores, `[n]`; any offset, but the scale that the logits shall have.
        positive: which candidate is the answer.
    """
    # The positive's own margin is 0 on both sides, so that it need not be taken out.
    error = (logits - logits[positive]) - (teacher - teacher[positive])
    return error.square().sum() / max(len(logits) - 1, 1)


class Cprd(GroupLoss):
    """The teacher's order among the valid hard negatives alone; needs its scores."""

    kind: Literal["cprd"] = "cprd"
    needs_teacher: ClassVar[bool] = True
    threshold: float | None = Field(
        default=None, description="a negative is valid from this score of the teacher on"
    )

    def loss(self, group: Candidates) -> Tensor:
        """See `cprd`."""
        threshold = -math.inf if self.threshold is None else self.threshold
        return cprd(group.logits, group.teacher, threshold=threshold)


def cprd(
    logits: Tensor, teacher: Tensor, positive: int = 0, *, threshold: float = -math.inf
) -> Tensor:
    """Contrastive partial ranking distillation: the teacher's order among hard negatives.

    Chen et al. 2024 (arXiv 2407.07479): negatives are put in the teacher's order `c_1 .. c_K`, and
    each valid one is contrasted with those after it: mean over valid `j` of
    `-log exp(s_cj) / sum_(k >= j) exp(s_ck)`. Only the order is learnt, and only as far down as it
    says something: below the threshold negatives are easy, and only contrasted with.

    Args:
        logits: `[n]`.
        teacher: its scores, `[n]`.
        positive: which candidate is the answer; it takes no part.
        threshold: a negative is valid when the teacher scores it above this.
    """
    negatives = torch.arange(len(logits), device=logits.device) != positive
    scores = teacher[negatives]
    order = scores.argsort(descending=True, stable=True)
    ranked = logits[negatives][order]
    n = len(ranked)
    # Row j sees the candidates from j on.
    passed = torch.ones((n, n), dtype=torch.bool, device=logits.device).tril(-1)
    each = ranked.expand(n, n).masked_fill(passed, -torch.inf).log_softmax(-1).diagonal()
    valid = (scores[order] > threshold).to(each.dtype)
    return -(each * valid).sum() / valid.sum().clamp_min(1)
