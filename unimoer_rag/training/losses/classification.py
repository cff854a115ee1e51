"""The loss of classification."""

from __future__ import annotations

from torch import Tensor

__all__ = ["classification"]


def classification(logits: Tensor, label: int) -> Tensor:
    """Cross entropy of one example over the classes.

    Args:
        logits: `[classes]`.
        label: the example's class.
    """
    return -logits.log_softmax(-1)[label]
