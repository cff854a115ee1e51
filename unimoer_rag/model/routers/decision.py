"""What a router answers at one transformer layer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Decision"]


@dataclass(frozen=True, slots=True)
class Decision:
    """How much of each expert is used, and what that was decided from.

    `n` is 1 where a router decides by row, else the number of tokens. Experts are the active ones
    of the batch, in the model's order (`States.experts`).

    Attributes:
        weights: float32 `[rows, n, experts]`, exactly 0 for an expert that a row may not use.
        logits: float32 `[rows, n, experts]`, what the gate saw: far below any other for an expert
            that a row may not use. None where no gate decides.
        lam: float32 `[rows, n]`, Sparsegen's predicted sparsity; None with other gates.
        ranks: float32 `[rows, n, ranks of all experts]` where a router decides rank by rank; an
            expert's entry in `weights` is then the sum over its ranks.
    """

    weights: Tensor
    logits: Tensor | None = None
    lam: Tensor | None = None
    ranks: Tensor | None = None
