"""Gates: how a router's logits over experts become mixing weights on the simplex.

A gate is a function of the logits and, for Sparsegen, of a predicted sparsity `lam`. All of
them work in float32 over the last axis and leave the other axes alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GATES", "SoftmaxGate", "SparsegenGate", "TopKGate", "sparsegen"]

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

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Weights `[..., E]` from logits `[..., E]` and features `[..., width]`, both float32."""
        lam = functional.logsigmoid(self.out(torch.relu(self.hidden(features)))) + _LAM_CEILING
        return sparsegen(logits, lam.squeeze(-1))


class SoftmaxGate(nn.Module):
    """Dense mixing: every expert a task may use gets a positive weight."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Weights `[..., E]` from logits `[..., E]`."""
        return logits.float().softmax(-1)


class TopKGate(nn.Module):
    """Softmax over the two largest logits, renormalised; the other experts get exactly 0."""

    k = 2

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Weights `[..., E]` from logits `[..., E]`."""
        u = logits.float()
        kept = u.topk(min(self.k, u.shape[-1]), dim=-1)
        return torch.zeros_like(u).scatter(-1, kept.indices, kept.values.softmax(-1))


GATES: dict[str, type[nn.Module]] = {
    "sparsegen": SparsegenGate,
    "softmax": SoftmaxGate,
    "top-k": TopKGate,
}
