"""The loss of extractive answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unimoer_rag.model import SpanScores, span_logits

__all__ = ["span"]


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
