"""Frozen weights in 8 or 4 bits, beside experts, router and heads that stay as they are.

| kind | weights | products |
|---|---|---|
| "int8" | int8, a scale for each row | weights turned to the activations' dtype |
| "int4" | 4 bits, scale and minimum for each 32 of a row | as "int8" |

The token embeddings are int8 with a scale for each row in both. Rounding is to nearest, the scales
are those of the largest value: no data is needed. Torch's own operations do it. Activations are not
quantized: rounding them token by token took on a CPU with VNNI what products of int8 saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "Int4Linear",
    "Int8Embedding",
    "Int8Linear",
    "QuantizedLinear",
    "count_bytes",
    "count_weights",
    "quantize",
]

_GROUP = 32


def quantize(model: Any, layers: Iterable[nn.Module], kind: str) -> None:
    """Quantize a backbone in place: its transformer layers' linear layers, and plain token vectors.

    Args:
        model: a transformers module.
        layers: its transformer layers.
        kind: "int8" or "int4".
    """
    vectors = model.get_input_embeddings()
    if type(vectors) is nn.Embedding:  # Gemma's does more than look up
        model.set_input_embeddings(Int8Embedding(vectors.weight))
    for layer in layers:
        linears = [(path, m) for path, m in layer.named_modules() if isinstance(m, nn.Linear)]
        for path, linear in linears:
            parent, _, name = path.rpartition(".")
            setattr(layer.get_submodule(parent), name, _quantized(linear, kind))


def _quantized(linear: nn.Linear, kind: str) -> QuantizedLinear:
    if kind == "int4" and linear.in_features % (2 * _GROUP) == 0:
        return Int4Linear(linear)
    return Int8Linear(linear)


class QuantizedLinear(nn.Module):
    """A frozen linear layer whose weights are not kept in full.

    Args:
        linear: the layer it stands for.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def dequantized(self) -> Tensor:
        """The weights that it computes with, float32 `[out, in]`."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Its sizes, for people."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


class Int8Linear(QuantizedLinear):
    """Weights int8 `[out, in]`, `scale` float32 `[out]`."""

    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        weight, scale = _by_row(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.squeeze(1))

    def dequantized(self) -> Tensor:
        """The weights that it computes with, float32 `[out, in]`."""
        return self.weight * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`, in the dtype of `x`."""
        product = functional.linear(x, self.weight.to(x.dtype))
        scale = self.scale.to(product.dtype)
        return product * scale if self.bias is None else torch.addcmul(self.bias, product, scale)


class Int4Linear(QuantizedLinear):
    """Weights `w = low + code * scale` in groups of 32 inputs, two codes a byte.

    `weight` is uint8 `[in / 2, out]`: the low half of its bits are codes of the first half of the
    inputs. `scale` and `low` are `[groups, 1, out]` in the layer's dtype. The outputs come last so
    that turning the codes into weights runs over whole rows of memory.
    """

    scale: Tensor
    low: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        groups = linear.weight.detach().float().T.contiguous().view(-1, _GROUP, self.out_features)
        least = groups.amin(1, keepdim=True)
        step = ((groups.amax(1, keepdim=True) - least) / 15).clamp_min(1e-12)
        # With the numbers that are kept, not with those before rounding.
        step, least = step.to(linear.weight.dtype), least.to(linear.weight.dtype)
        codes = ((groups - least.float()) / step.float()).round().clamp(0, 15).to(torch.uint8)
        first, second = codes.view(self.in_features, -1).chunk(2)
        self.register_buffer("weight", first | (second << 4))
        self.register_buffer("scale", step)
        self.register_buffer("low", least)

    def dequantized(self) -> Tensor:
        """The weights that it computes with, float32 `[out, in]`."""
        return self._inputs_first(torch.float32).T

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`, in the dtype of `x`."""
        return functional.linear(x, self._inputs_first(x.dtype).T, self.bias)

    def _inputs_first(self, dtype: torch.dtype) -> Tensor:
        """The weights `[in, out]`."""
        weights = torch.empty(
            self.in_features, self.out_features, dtype=dtype, device=self.weight.device
        )
        first, second = weights.chunk(2)
        first.copy_(self.weight & 15)
        second.copy_(self.weight >> 4)
        groups = weights.view(-1, _GROUP, self.out_features)
        groups.mul_(self.scale).add_(self.low)
        return weights


class Int8Embedding(nn.Module):
    """Token vectors int8 `[tokens, width]`, `scale` float32 `[tokens, 1]`.

    Args:
        vectors: of the tokens; their dtype is that of the output.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.dtype = vectors.dtype
        weight, scale = _by_row(vectors)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)

    def dequantized(self) -> Tensor:
        """The vectors that it gives, float32 `[tokens, width]`."""
        return self.weight * self.scale

    def forward(self, ids: Tensor) -> Tensor:
        """int64 `[...]` to `[..., width]`."""
        rows = functional.embedding(ids, self.weight)
        return (rows * functional.embedding(ids, self.scale)).to(self.dtype)


def count_bytes(module: nn.Module) -> int:
    """Bytes of parameters and quantized weights, with their scales."""
    held: list[Tensor] = [*module.parameters()]
    for child in module.modules():
        if isinstance(child, QuantizedLinear | Int8Embedding):
            held += child.buffers(recurse=False)
    return sum(tensor.nbytes for tensor in held)


def count_weights(module: nn.Module) -> int:
    """Numbers that the parameters have, or had before they were quantized."""
    n = sum(p.numel() for p in module.parameters())
    for child in module.modules():
        if isinstance(child, Int8Embedding):
            n += child.weight.numel()
        elif isinstance(child, QuantizedLinear):
            n += child.in_features * child.out_features
            n += child.out_features if child.bias is not None else 0
    return n


def _by_row(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """int8 of the same shape, and the float32 step `[rows, 1]` of each row."""
    full = matrix.detach().float()
    step = full.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
    return (full / step).round().to(torch.int8), step
