"""What a cross-encoder's folder says of itself, beside pooling and steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Classifier", "PairScoring"]


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """The layers of a sequence classification model of transformers that are behind its body.

    Attributes:
        config: transformers' configuration.
        tensors: those layers' weights, by the names that the class has for them.
    """

    config: Any
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class PairScoring:
    """How a published cross-encoder scores a pair.

    Attributes:
        classifier: gives the logit; None where pooling and steps give it, the last one a Dense of
            one number.
    """

    classifier: Classifier | None = None
