"""Ranking losses of one group: the logits of a query's candidates and their relevance."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from unimoer_rag.training.losses.base import Candidates, GroupLoss

__all__ = ["Bce", "Lce", "bce", "lce"]


class Lce(GroupLoss):
    """Softmax cross entropy of the positive among its group."""

    kind: Literal["lce"] = "lce"

    def loss(self, group: Candidates) -> Tensor:
        """See `lce`."""
        return lce(group.logits)


def lce(logits: Tensor, positive: int = 0) -> Tensor:
    """Localised contrastive estimation (Gao et al. 2021): cross entropy over one mined group.

    Args:
        logits: `[n]`.
        positive: which candidate is the answer.
    """
    return -logits.log_softmax(-1)[positive]


class Bce(GroupLoss):
    """Binary cross entropy, positive and negatives weighing the same in sum."""

    kind: Literal["bce"] = "bce"

    def loss(self, group: Candidates) -> Tensor:
        """See `bce`."""
        return bce(group.logits, group.labels)


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy, the relevant and the irrelevant weighing half each.

    `1/2 sum_i y_i log(1 + exp(-s_i)) / sum_i y_i + 1/2 sum_i (1 - y_i) log(1 + exp(s_i)) /
    sum_i (1 - y_i)`; a half without candidates is 0.

    Args:
        logits: `[n]`.
        labels: relevance from 0 to 1, `[n]`. A grade in between counts in part on both sides.
    """
    labels = labels.to(logits.dtype)
    relevant = -functional.logsigmoid(logits)
    irrelevant = -functional.logsigmoid(-logits)
    return 0.5 * (_weighted_mean(relevant, labels) + _weighted_mean(irrelevant, 1 - labels))


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean under weights; 0, with gradient 0, where all of them are."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, 1.0)
