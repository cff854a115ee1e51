"""Hidden states of every transformer layer, pooled over a text's tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unimoer_rag.model import Row, UniMoER, plan_batches

__all__ = ["layer_states"]

_BUDGET = 2048  # padded tokens a batch


@torch.inference_mode()
def layer_states(model: UniMoER, rows: Sequence[Row]) -> list[NDArray[np.float64]]:
    """The mean over its tokens of each row's output of each layer: `[rows, width]` a layer."""
    pooled = [np.zeros((len(rows), model.width)) for _ in range(model.n_layers)]
    for at in plan_batches([len(row.ids) for row in rows], _BUDGET):
        batch = model.collate([rows[i] for i in at])
        with _outputs(model) as layers:
            model(batch)
        weight = batch.mask.float().unsqueeze(-1)
        for layer, output in enumerate(layers):
            mean = (output.float() * weight).sum(1) / weight.sum(1)
            pooled[layer][at] = mean.cpu().numpy()
    return pooled


@contextmanager
def _outputs(model: UniMoER) -> Iterator[list[Tensor]]:
    """What the transformer layers give inside the block, in order."""
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    handles = [layer.register_forward_hook(keep) for layer in _layers(model)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _layers(model: UniMoER) -> nn.ModuleList:
    return next(
        module
        for module in model.backbone.modules()
        if isinstance(module, nn.ModuleList) and len(module) == model.n_layers
    )
