"""The loss of classification."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["classification"]


def classification(
    logits: Tensor, label: int, *, smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Cross entropy of one example over the classes, with label smoothing (Szegedy et al. 2016).

    Args:
        logits: `[classes]`.
        label: the example's class.
        smoothing: share of the label's probability spread evenly over all classes.
        weights: `[classes]`, what each class's log-likelihood counts for; 1 each when None.
    """
    target = torch.tensor(label, device=logits.device)
    return functional.cross_entropy(
        logits, target, weight=weights, label_smoothing=smoothing, reduction="sum"
    )
