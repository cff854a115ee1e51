"""One forward of a backbone without a number in it: what it computes, and what it keeps.

Torch itself counts, on its meta device: operations of matrix products by its flop counter (2 for
each weight and token), bytes by the tensors that autograd holds for the backward pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from unimoer_rag.model import RoutedLinear, UniMoER, bare_model, transformer_layers

__all__ = [
    "Activations",
    "Operations",
    "backbone_operations",
    "count_operations",
    "trace_activations",
]

# Any length will do: what torch counts at one tells that of every other.
_COUNTED = 8


@dataclass(frozen=True, slots=True)
class Operations:
    """Floating-point operations of matrix products in a backbone's layers, experts left out.

    Attributes:
        token: with the frozen weights, for each token.
        pair: of attention, for each pair of a token and one that it sees, itself included.
    """

    token: int
    pair: int

    def row(self, tokens: int, *, causal: bool) -> int:
        """Of a row, padding not counted, nor on a decoder what a token does not see."""
        seen = tokens * (tokens + 1) // 2 if causal else tokens * tokens
        return self.token * tokens + self.pair * seen


def backbone_operations(backbone: nn.Module) -> Operations:
    """What a forward computes without experts.

    Args:
        backbone: a skeleton; no number is computed.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        _forward(backbone, rows=1, tokens=_COUNTED)
    config: Any = backbone.config
    layers = set(transformer_layers(backbone, config.num_hidden_layers))
    places = [name for name, module in backbone.named_modules() if module in layers]
    counts = [counter.get_flop_counts()[f"{type(backbone).__name__}.{at}"] for at in places]
    pair = sum(c.get(torch.ops.aten.bmm, 0) for c in counts)  # by no weight: tokens with tokens
    token = sum(sum(c.values()) for c in counts) - pair
    return Operations(token // _COUNTED, pair // _COUNTED**2)


def count_operations(model: UniMoER, lengths: Iterable[int]) -> int:
    """Operations of rows of a model in use, experts left out.

    Args:
        model: the model, its weights packed, quantized or not.
        lengths: tokens of each row.
    """
    config: Any = model.backbone.config
    each = backbone_operations(bare_model(config, Path(model.backbone_name)))
    return sum(each.row(n, causal=model.causal) for n in lengths)


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
    backbone = model.backbone.to(dtype)
    given = {p.untyped_storage()._cdata for p in backbone.parameters()}
    # A length that is the size of nothing else: attention weights are told by their shape.
    sizes = {size for p in backbone.parameters() for size in p.shape}
    while tokens in sizes:
        tokens += 1
    # By their storage: views of one are kept once, parameters are there anyway. Holding the tensors
    # keeps a storage's address from being used again.
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in given:
            kept.setdefault(storage, tensor)
        return tensor

    def keep_input(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        keep(args[0])

    # Experts keep their layer's input, `A x` before and after the routing's weights, and matrices.
    numbers, watched = 0, []
    for routed in (m for m in backbone.modules() if isinstance(m, RoutedLinear)):
        ranks = sum(len(routed.lora_A[name]) for name in experts if name in routed.lora_A)
        numbers += ranks * (2 * rows * tokens + routed.base.in_features + routed.base.out_features)
        if ranks:
            watched.append(routed.register_forward_pre_hook(keep_input))
    try:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            _forward(backbone, rows=rows, tokens=tokens)
    finally:
        for handle in watched:
            handle.remove()
    tensors = list(kept.values())
    whole = numbers * dtype.itemsize
    if fused_attention:
        tensors = [tensor for tensor in tensors if tensor.shape[-2:] != (tokens, tokens)]
        # In their place each layer keeps the logarithm of every softmax's sum, and the mask as
        # numbers to add; the output is the next map's input.
        config: Any = backbone.config
        sums = rows * tokens * config.num_attention_heads * 4
        whole += model.n_layers * (sums + rows * tokens * tokens * dtype.itemsize)
    whole += sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    inputs = model.n_layers * rows * tokens * model.width * dtype.itemsize
    return Activations(whole=whole, inputs=inputs, layer=whole // model.n_layers)


def _forward(backbone: Any, *, rows: int, tokens: int) -> None:
    """Run a skeleton, experts off, on rows that need gradients."""
    embedded = torch.zeros(
        rows,
        tokens,
        backbone.config.hidden_size,
        dtype=backbone.dtype,
        device="meta",
        requires_grad=True,
    )
    # A mask and positions of ours: those that transformers makes look at values.
    seen = torch.ones(rows, 1, tokens, tokens, dtype=torch.bool, device="meta")
    positions = torch.zeros(rows, tokens, dtype=torch.long, device="meta")
    backbone(inputs_embeds=embedded, attention_mask=seen, position_ids=positions)
