"""Losses, each a function of plain tensors in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from unimoer_rag.model.heads import SpanScores, span_logits

__all__ = ["binary", "info_nce", "kl_anchor", "list_softmax", "load_balance", "span"]


def info_nce(similarity: Tensor, positives: Tensor, *, temperature: float) -> Tensor:
    """Contrastive cross entropy of each query over all candidates (van den Oord et al. 2018).

    Args:
        similarity: cosines `[queries, candidates]`; minus infinity masks a candidate.
        positives: int64 `[queries]`, the column of each query's positive.
        temperature: divides the cosines.
    """
    return functional.cross_entropy(similarity / temperature, positives)


def list_softmax(logits: Tensor, positive: int = 0) -> Tensor:
    """Localised contrastive estimation (Gao et al. 2021): cross entropy over one mined group."""
    return -logits.log_softmax(-1)[positive]


def binary(logits: Tensor, positive: int = 0) -> Tensor:
    """Binary cross entropy of a mined group, positive and negatives weighing the same in sum."""
    labels = torch.zeros_like(logits)
    labels[positive] = 1.0
    weights = torch.full_like(logits, 0.5 / max(len(logits) - 1, 1))
    weights[positive] = 0.5
    return functional.binary_cross_entropy_with_logits(
        logits, labels, weight=weights, reduction="sum"
    )


def kl_anchor(logits: Tensor, frozen: Tensor, *, temperature: float) -> Tensor:
    """KL divergence from the frozen model's distribution over the candidates.

    Hinton et al. 2015: both sides softened by the temperature, the gradient's scale kept by its
    square.

    Args:
        logits: `[..., candidates]`, with gradient.
        frozen: the same, from the backbone with its experts off.
        temperature: softening.
    """
    target = (frozen / temperature).softmax(-1)
    log_p = (logits / temperature).log_softmax(-1)
    divergence = (target * (target.clamp_min(1e-12).log() - log_p)).sum(-1)
    return divergence.mean() * temperature**2


def span(scores: SpanScores, gold: Sequence[tuple[int, int]]) -> Tensor:
    """Negative log of the total probability of the gold spans, or of "no answer" without any.

    Probabilities are over every allowed span and "no answer" together; several gold places of
    the same answer share the credit (Clark & Gardner 2018).

    Args:
        scores: of one row.
        gold: token spans `[first, last]`, both inclusive, of the row's document tokens.
    """
    joint = span_logits(scores)
    total = torch.logaddexp(joint.flatten().logsumexp(0), scores.null)
    if not gold:
        return total - scores.null
    first, last = (torch.tensor(edge, device=joint.device) for edge in zip(*gold, strict=True))
    return total - joint[first, last].logsumexp(0)


def load_balance(weights: Sequence[Tensor], allowed: Tensor) -> Tensor:
    """Load balance `E * sum_i f_i P_i`, averaged over layers: 1 when even, E when one has all.

    Fedus et al. 2021, for mixtures: `f_i`, the fraction routed to an expert, is its share of the
    weight, without gradient; `P_i` is the same with gradient. A row's weights are taken relative
    to an even split over the experts it may use, so that a row of one task is not asked to use
    another's.

    Args:
        weights: routing weights of each layer, `[rows, n, experts]`.
        allowed: bool `[rows, experts]`.
    """
    n_allowed = allowed.sum(-1, keepdim=True).float()
    n_rows = allowed.sum(0).clamp_min(1)
    balances = []
    for layer in weights:
        load = (layer.mean(1) * n_allowed).sum(0) / n_rows
        balances.append((load.detach() * load).sum() / allowed.any(0).sum())
    return torch.stack(balances).mean()
