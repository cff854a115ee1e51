"""Frozen linear layers whose weights lie in memory as the processor reads them.

A matrix product of oneDNN cuts the weight into blocks that fit its registers, every time anew. What
never changes can be kept that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.quantized import QuantizedLinear

if TYPE_CHECKING:
    from unimoer_rag.model.experts import RoutedLinear

__all__ = ["PrepackedLinear", "dense", "prepack_linear", "prepack_linears"]

_Linear = nn.Linear | QuantizedLinear

# The best order of blocks depends a little on the tokens of a batch: about this many on CPUs.
_TOKENS = 1024


class PrepackedLinear(nn.Linear):
    """A frozen linear layer on a CPU, in bfloat16, with its weight in oneDNN's blocked order.

    It gives what the layer gave, and takes no more memory. Gradients pass through it, at the price
    of putting the weight in rows again for every forward. Moved or cast, it is a plain layer again.

    Args:
        linear: the layer; its weight is not kept.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _TOKENS)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        if not self.weight.is_mkldnn:
            return super().forward(x)
        if torch.is_grad_enabled() or x.dtype != self.weight.dtype:
            return functional.linear(x, self.weight.to_dense(), self.bias)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        if self.weight.is_mkldnn:
            self.weight = nn.Parameter(self.weight.to_dense(), requires_grad=False)
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved


def prepack_linears(layers: Iterable[RoutedLinear]) -> None:
    """Pack the frozen weights of routed layers, where they are on a CPU that gains by it."""
    for routed in layers:
        routed.base = prepack_linear(routed.base)


def prepack_linear(linear: _Linear) -> _Linear:
    """The layer packed, or as it is where that gains nothing."""
    return PrepackedLinear(linear) if _gains(linear) else linear


def dense(linear: _Linear) -> Tensor:
    """The weight `[out, in]` of a layer; of a packed one a copy, of a quantized one in float32."""
    if isinstance(linear, QuantizedLinear):
        return linear.dequantized()
    weight: Tensor = linear.weight
    return weight.to_dense() if weight.is_mkldnn else weight


def _gains(linear: _Linear) -> TypeGuard[nn.Linear]:
    """Whether a layer is one that oneDNN multiplies in bfloat16 by instructions of its own."""
    weight = linear.weight
    return (
        type(linear) is nn.Linear
        and weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and not weight.requires_grad
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
