"""Frozen linear layers that oneDNN multiplies, on CPUs, in the way that is fastest there.

In bfloat16 their weights lie in memory as the processor reads them: oneDNN cuts a weight into
blocks that fit its registers, every time anew where nobody keeps them. In float32 they stay in
rows, which may be a file's, mapped into memory: blocks would gain little more. What gains there is
oneDNN's product in the place of MKL's, torch's default for float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.layers.quantized import QuantizedLinear

if TYPE_CHECKING:
    from unimoer_rag.model.layers.experts import RoutedLinear

__all__ = ["OneDNNLinear", "dense", "to_onednn", "use_onednn"]

_Linear = nn.Linear | QuantizedLinear

# The best order of blocks depends a little on the tokens of a batch: about this many on CPUs.
_TOKENS = 1024


class OneDNNLinear(nn.Linear):
    """A frozen linear layer on a CPU, in bfloat16 or float32.

    It gives what the layer gave, but for rounding, and takes no more memory. Gradients pass through
    it, at the price of putting a packed weight in rows again for every forward. Moved or cast, it
    has its weight in rows again.

    Args:
        linear: the layer; its weight is not kept where it is packed.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        if linear.weight.dtype == torch.bfloat16:
            packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _TOKENS)
            self.weight = nn.Parameter(packed, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        weight = self.weight
        if torch.is_grad_enabled() or weight.device.type != "cpu" or x.dtype != weight.dtype:
            return functional.linear(x, dense(self), self.bias)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, self.bias, "none", [], "")
        return y

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        if self.weight.is_mkldnn:
            self.weight = nn.Parameter(self.weight.to_dense(), requires_grad=False)
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved


def use_onednn(layers: Iterable[RoutedLinear]) -> None:
    """Run the frozen part of routed layers by oneDNN, where they are on a CPU that gains by it."""
    for routed in layers:
        routed.base = to_onednn(routed.base)


def to_onednn(linear: _Linear) -> _Linear:
    """The layer run by oneDNN, or as it is where that gains nothing."""
    return OneDNNLinear(linear) if _gains(linear) else linear


def dense(linear: _Linear) -> Tensor:
    """The weight `[out, in]` of a layer; of a packed one a copy, of a quantized one in float32."""
    if isinstance(linear, QuantizedLinear):
        return linear.dequantized()
    weight: Tensor = linear.weight
    return weight.to_dense() if weight.is_mkldnn else weight


def _gains(linear: _Linear) -> TypeGuard[nn.Linear]:
    """Whether a layer is one that oneDNN multiplies by instructions of its own."""
    weight = linear.weight
    return (
        type(linear) is nn.Linear
        and weight.device.type == "cpu"
        and not weight.requires_grad
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and _has_instructions(weight.dtype)
    )


def _has_instructions(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32 and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
