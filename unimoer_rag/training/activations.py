"""What a training forward keeps for its backward pass, traced on torch's meta device."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from unimoer_rag.model import RoutedLinear, UniMoER

__all__ = ["Activations", "trace_activations"]


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes that wait for the backward pass.

    Attributes:
        whole: of all layers, as kept without gradient checkpointing.
        inputs: of the layers' inputs alone, as kept with it.
        layer: of one layer, made again during the backward pass with it.
    """

    whole: int
    inputs: int
    layer: int


def trace_activations(
    model: UniMoER,
    *,
    rows: int,
    tokens: int,
    experts: Collection[str],
    dtype: torch.dtype,
    fused_attention: bool,
) -> Activations:
    """Sum the tensors that autograd would keep of one forward, the heads not included.

    Args:
        model: a skeleton; no number is computed.
        rows: of the batch.
        tokens: length of each row, padding included.
        experts: those that take part.
        dtype: that the backbone computes in.
        fused_attention: the kernels behind "sdpa" keep no `[tokens, tokens]` weights.
    """
    config: Any = model.backbone.config  # type: ignore[assignment]
    backbone = model.backbone.to(dtype)
    # A length that is the size of nothing else: attention weights are told by their shape.
    sizes = {size for p in backbone.parameters() for size in p.shape}
    while tokens in sizes:
        tokens += 1
    kept = _Kept(backbone)
    watched = [_watch(routed, kept, rows * tokens, experts) for routed in _routed(backbone)]
    embedded = torch.zeros(
        rows, tokens, model.width, dtype=dtype, device="meta", requires_grad=True
    )
    # A mask and positions of ours: those that transformers makes look at values.
    seen = torch.ones(rows, 1, tokens, tokens, dtype=torch.bool, device="meta")
    positions = torch.zeros(rows, tokens, dtype=torch.long, device="meta")
    try:
        with saved_tensors_hooks(kept.add, lambda tensor: tensor):
            backbone(inputs_embeds=embedded, attention_mask=seen, position_ids=positions)
    finally:
        for handle in watched:
            handle.remove()
    whole = kept.total()
    if fused_attention:
        # In their place each layer keeps the logarithm of every softmax's sum, and the mask as
        # numbers to add; the output is the next map's input.
        sums = rows * tokens * config.num_attention_heads * 4
        mask = rows * tokens * tokens * dtype.itemsize
        whole = kept.total(without=(tokens, tokens)) + model.n_layers * (sums + mask)
    inputs = model.n_layers * embedded.numel() * dtype.itemsize
    return Activations(whole=whole, inputs=inputs, layer=whole // model.n_layers)


class _Kept:
    """Tensors by their storage: views of one are kept once, parameters are there anyway."""

    def __init__(self, model: nn.Module) -> None:
        self._given = {p.untyped_storage()._cdata for p in model.parameters()}
        # Holding the tensors keeps a storage's address from being used again.
        self._tensors: dict[int, Tensor] = {}
        self._extra = 0

    def add(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in self._given:
            self._tensors.setdefault(storage, tensor)
        return tensor

    def add_bytes(self, size: int) -> None:
        self._extra += size

    def total(self, *, without: tuple[int, ...] = ()) -> int:
        tensors = self._tensors.values()
        bytes_of = (
            t.untyped_storage().nbytes() for t in tensors if not without or t.shape[-2:] != without
        )
        return sum(bytes_of) + self._extra


def _routed(backbone: nn.Module) -> list[RoutedLinear]:
    return [module for module in backbone.modules() if isinstance(module, RoutedLinear)]


def _watch(routed: RoutedLinear, kept: _Kept, n: int, experts: Collection[str]) -> Any:
    """Count what the experts of a layer keep: its input, `A x` before and after the weights."""
    ranks = sum(len(routed.lora_A[name]) for name in experts if name in routed.lora_A)
    matrices = ranks * (routed.base.in_features + routed.base.out_features)

    def count(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if ranks:
            kept.add(args[0])
            kept.add_bytes((2 * n * ranks + matrices) * args[0].dtype.itemsize)

    return routed.register_forward_pre_hook(count)
