"""Gates: how a router's logits over experts become mixing weights on the simplex.

A gate is a function of the logits and, for Sparsegen, of a predicted sparsity `lam`. All of
them work in float32 over the last axis, leave the other axes alone, and answer with a `Decision`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.routers.decision import Decision

__all__ = [
    "GATES",
    "MASKED",
    "SoftmaxGate",
    "SparsegenGate",
    "TopKGate",
    "TsallisGate",
    "sparsegen",
    "tsallis_entropy",
]

# Logit of an expert that a row may not use: far below any learned one, and finite, so that
# Sparsegen's cumulative sums stay finite too.
MASKED = -1e4

# Added to LogSigmoid so that lam stays below 1, where Sparsegen is defined (LD-MoLE, section 3).
_LAM_CEILING = 0.99
# LD-MoLE's initial bias: lam is about -1.6 at the start, so that every expert learns first.
_LAM_BIAS = -2.5


def sparsegen(logits: Tensor, lam: Tensor | float = 0.0) -> Tensor:
    """Project logits onto the simplex: `argmin_p |p - u|^2 - lam |p|^2`.

    Equal to `sparsemax(u / (1 - lam))`: a larger `lam` gives a sparser result. Source: Sparsegen
    (Laha et al. 2018), used for expert routing by LD-MoLE (arXiv 2509.25684).

    Args:
        logits: `[..., E]`, any float dtype; computed in float32.
        lam: below 1; a number or `[...]`.

    Returns:
        float32 `[..., E]`, non-negative, summing to 1, with exact zeros off the support.
    """
    u = logits.float()
    lam = torch.as_tensor(lam, dtype=torch.float32, device=u.device).expand(u.shape[:-1])
    room = (1.0 - lam).unsqueeze(-1)
    ordered = u.sort(dim=-1, descending=True).values
    cumulative = ordered.cumsum(-1)
    position = torch.arange(1, u.shape[-1] + 1, device=u.device, dtype=u.dtype)
    # At least 1: with NaN logits no comparison holds, and NaN is what should come out.
    k = (room + position * ordered > cumulative).sum(-1, keepdim=True).clamp_min(1)
    tau = (cumulative.gather(-1, k - 1) - room) / k
    return (u - tau).clamp_min(0) / room


class SparsegenGate(nn.Module):
    """Sparsegen whose sparsity is predicted from the routed features.

    One small MLP, shared by all layers, gives `lam = LogSigmoid(MLP(x)) + 0.99`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, 32)
        self.out = nn.Linear(32, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, _LAM_BIAS)

    def forward(self, logits: Tensor, features: Tensor) -> Decision:
        """Weights `[..., E]` from logits `[..., E]` and features `[..., width]`, both float32."""
        raw = self.out(torch.relu(self.hidden(features))).squeeze(-1)
        lam = functional.logsigmoid(raw) + _LAM_CEILING
        return Decision(sparsegen(logits, lam), logits, lam)


class SoftmaxGate(nn.Module):
    """Dense mixing: every expert a task may use gets a positive weight."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, logits: Tensor, features: Tensor) -> Decision:
        """Weights `[..., E]` from logits `[..., E]`."""
        return Decision(logits.float().softmax(-1), logits)


class TopKGate(nn.Module):
    """Softmax over the two largest logits, renormalised; the other experts get exactly 0.

    Of equal logits the first count: a choice that other experts in the batch cannot sway.
    """

    k = 2

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, logits: Tensor, features: Tensor) -> Decision:
        """Weights `[..., E]` from logits `[..., E]`."""
        u = logits.float()
        ordered = u.sort(dim=-1, descending=True, stable=True)
        values, indices = ordered.values[..., : self.k], ordered.indices[..., : self.k]
        weights = torch.zeros_like(u).scatter(-1, indices, values.softmax(-1))
        return Decision(weights, logits)


def tsallis_entropy(p: Tensor, n: Tensor, q: float) -> Tensor:
    """Tsallis entropy of distributions `[..., E]`, 1 for an even one over `n [...]` outcomes.

    `H = (1 - sum p^q) / (1 - n^(1-q))`: DynMoLE's (arXiv 2504.00661) after dividing by its
    maximum. With fewer than two outcomes it is 0.
    """
    most = 1.0 - n.clamp_min(2).float() ** (1.0 - q)
    return (1.0 - p.pow(q).sum(-1)) / most


class TsallisGate(nn.Module):
    """DynMoLE: all experts where the softmax is nearly even, else the fewest that hold most of it.

    Above the entropy threshold every expert keeps its probability; below it those do whose
    cumulative probability, largest first, stays within `top_p`, and always the two largest. What
    is cut off is not given to the others: weights may sum to less than 1 (arXiv 2504.00661).
    """

    q = 1.1
    threshold = 0.9
    top_p = 0.75
    least = 2

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, logits: Tensor, features: Tensor) -> Decision:
        """Weights `[..., E]` from logits `[..., E]`."""
        p = logits.float().softmax(-1)
        ordered = p.sort(dim=-1, descending=True, stable=True)
        within = ordered.values.cumsum(-1) <= self.top_p
        within[..., : self.least] = True
        n = (logits > MASKED / 2).sum(-1)
        even = tsallis_entropy(p, n, self.q) > self.threshold
        kept = torch.zeros_like(within).scatter(-1, ordered.indices, within) | even.unsqueeze(-1)
        return Decision(p * kept, logits)


GATES: dict[str, type[nn.Module]] = {
    "sparsegen": SparsegenGate,
    "softmax": SoftmaxGate,
    "top-k": TopKGate,
    "tsallis": TsallisGate,
}
