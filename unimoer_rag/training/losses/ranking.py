"""Ranking losses of one group: the logits of a query's candidates and their relevance."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from unimoer_rag.training.losses.base import Candidates, GroupLoss

__all__ = ["Bce", "Lambda", "Lce", "RankNet", "bce", "lambda_loss", "lce", "ranknet"]


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


class RankNet(GroupLoss):
    """Pairwise logistic loss; on the teacher's order where the group has scores."""

    kind: Literal["ranknet"] = "ranknet"
    temperature: float = Field(default=1.0, gt=0, description="divides the logits")

    def loss(self, group: Candidates) -> Tensor:
        """See `ranknet`."""
        return ranknet(group.logits / self.temperature, group.teacher)


def ranknet(logits: Tensor, labels: Tensor) -> Tensor:
    """RankNet (Burges et al. 2005): mean of `log(1 + exp(s_j - s_i))` over pairs `y_i > y_j`.

    Args:
        logits: `[n]`; divide by a temperature first to sharpen them.
        labels: relevance, `[n]`, only its order counts. For a permutation give minus the rank, as
            E2Rank does (arXiv 2510.22733, where the temperature is 0.1).
    """
    ordered = labels.unsqueeze(1) > labels.unsqueeze(0)
    pairs = -functional.logsigmoid(logits.unsqueeze(1) - logits.unsqueeze(0))
    return _weighted_mean(pairs, ordered.to(pairs.dtype))


class Lambda(GroupLoss):
    """LambdaLoss: pairs weighted by what swapping them would change in nDCG."""

    kind: Literal["lambda"] = "lambda"
    sigma: float = Field(default=1.0, gt=0, description="steepness of the pairwise loss")
    top: int | None = Field(default=None, ge=1, description="ranks that count; all without")

    def loss(self, group: Candidates) -> Tensor:
        """See `lambda_loss`."""
        return lambda_loss(group.logits, group.labels, sigma=self.sigma, top=self.top)


def lambda_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    sigma: float = 1.0,
    top: int | None = None,
    mu: float = 10.0,
) -> Tensor:
    """LambdaLoss (Wang et al. 2018) with the weights of NDCG-Loss2++.

    Mean of `-w_ij log2 sigmoid(sigma (s_i - s_j))` over pairs `y_i > y_j`, with
    `w_ij = (mu delta_ij + |1/D(r_i) - 1/D(r_j)|) |G_i - G_j|`, gain `G = (2^y - 1) / maxDCG`,
    discount `D(r) = log2(1 + r)` of the rank that the logits give, and
    `delta_ij = 1/D(|r_i - r_j|) - 1/D(|r_i - r_j| + 1)`. Each part of it, summed over pairs, is
    at least what the ranking is missing to a perfect nDCG.

    Args:
        logits: `[n]`.
        labels: graded relevance, 0 and above, `[n]`.
        sigma: steepness.
        top: optimise nDCG at this rank: only pairs with a candidate ranked so high count.
        mu: weight of NDCG-Loss2; with 0, `w_ij` is the change of nDCG when the two swap places
            and the gradient LambdaRank's.
    """
    labels = labels.to(logits.dtype)
    places = torch.arange(1, len(logits) + 1, device=logits.device)
    order = logits.detach().argsort(descending=True, stable=True)
    rank = torch.empty_like(places).scatter(0, order, places)
    top = len(logits) if top is None else top

    gain = torch.exp2(labels) - 1
    ideal = (gain.sort(descending=True).values * _discounted(places))[:top].sum()
    gain = gain / ideal.clamp_min(torch.finfo(gain.dtype).tiny)

    swap = (_discounted(rank).unsqueeze(1) - _discounted(rank).unsqueeze(0)).abs()
    apart = (rank.unsqueeze(1) - rank.unsqueeze(0)).abs().clamp_min(1)
    weights = mu * (_discounted(apart) - _discounted(apart + 1)) + swap
    weights = weights * (gain.unsqueeze(1) - gain.unsqueeze(0)).abs()

    seen = rank <= top
    counted = (labels.unsqueeze(1) > labels.unsqueeze(0)) & (seen.unsqueeze(1) | seen.unsqueeze(0))
    pairs = -functional.logsigmoid(sigma * (logits.unsqueeze(1) - logits.unsqueeze(0)))
    return _weighted_mean(weights * pairs / math.log(2), counted.to(pairs.dtype))


def _discounted(rank: Tensor) -> Tensor:
    """What a gain at a rank counts for in DCG."""
    return 1 / torch.log2(1.0 + rank)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean under weights; 0, with gradient 0, where all of them are."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, 1.0)
