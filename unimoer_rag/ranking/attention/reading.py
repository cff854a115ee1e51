"""What tokens attend to, read from a decoder layer by layer.

The passages of a prompt run once, with the attention that the model was loaded with, and are kept
as keys and values. Only the few tokens of a query run with transformers' plain attention, which
gives its weights: `[heads, query, context]` of one layer, which are read and let go of. The weights
`[layers, heads, context, context]` of the whole prompt are never made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from unimoer_rag.errors import BackboneError, GenerationError
from unimoer_rag.generation import Decoder
from unimoer_rag.model import cache_name, can_keep_prefixes, transformer_layers
from unimoer_rag.ranking.attention.prompt import Asked

__all__ = ["AttentionReader", "Take"]

# Tokens of passages in one turn on the device, so that they do not hold it for long.
_CHUNK = 1024

Take = Callable[[int, Tensor], None]
"""Called with a layer and its attention, the mean over tokens: float32 `[heads, context]`."""


class AttentionReader:
    """Runs a decoder's layers and shows what their heads attend to.

    It works on views of the decoder: the same weights in modules of its own, so that whoever else
    uses the decoder meets no change.

    Args:
        llm: the decoder.
        n_layers: run these first layers alone; None for all.

    Raises:
        BackboneError: the decoder's memory is not keys and values of attention alone.
    """

    def __init__(self, llm: Decoder, n_layers: int | None = None) -> None:
        body = getattr(llm.model, llm.model.base_model_prefix)
        if not can_keep_prefixes(body, causal=True):
            raise BackboneError(
                f"{llm.name} ({body.config.model_type}) does not keep what it reads as keys and "
                "values alone, so its attention to passages cannot be read: use another decoder"
            )
        self._device, self._name = llm.device, llm.name
        self._reads, _ = _view(body, n_layers)
        self._looks, layers = _view(body, n_layers)
        self._looks.set_attn_implementation("eager")
        self._attention = [_attention_of(layer) for layer in layers]

    def keep(self, ids: Sequence[int]) -> Cache:
        """Read tokens; their keys and values."""
        cache = DynamicCache()
        for start in range(0, len(ids), _CHUNK):
            self._turn(partial(_forward, self._reads, ids[start : start + _CHUNK], cache))
        return cache

    def look(self, asked: Asked, behind: Cache, take: Take) -> None:
        """Show what tokens attend to behind others, whose keys and values stay as they are.

        Args:
            asked: the tokens, and those of them that count.
            behind: what `keep` gave.
            take: called for each layer, in order.

        Raises:
            BackboneError: the model's attention gives no weights.
            GenerationError: the model failed.
        """

        def seen(layer: int, module: nn.Module, args: Any, output: Any) -> None:
            weights = output[1] if isinstance(output, tuple) else None
            if weights is None:
                raise BackboneError(
                    f"the attention of {self._name} gives no weights: use another decoder"
                )
            take(layer, weights[0, :, asked.rows].float().mean(dim=1))

        def run() -> None:
            hooks = [
                module.register_forward_hook(partial(seen, layer))
                for layer, module in enumerate(self._attention)
            ]
            try:
                # Layers of a cache put tensors together, and change none.
                kept = Cache(layers=[copy(layer) for layer in behind.layers])
                _forward(self._looks, asked.ids, kept)
            finally:
                for hook in hooks:
                    hook.remove()

        self._turn(run)

    def _turn(self, run: Callable[[], None]) -> None:
        try:
            self._device(run).result()
        except RuntimeError as error:  # torch's, such as too little memory
            raise GenerationError(
                f"{self._name} failed as it read passages ({type(error).__name__}: {error}): free "
                "memory on its device, or show it fewer passages at a time (window)"
            ) from error


@torch.inference_mode()
def _forward(body: Any, ids: Sequence[int], cache: Cache) -> None:
    tokens = torch.tensor([list(ids)], device=body.device)
    body(input_ids=tokens, use_cache=True, **{cache_name(body): cache})


def _view(body: nn.Module, n_layers: int | None) -> tuple[Any, nn.ModuleList]:
    """Modules of their own around a model's weights, and the first layers, which alone are left."""
    shared = {id(tensor): tensor for tensor in chain(body.parameters(), body.buffers())}
    view: Any = deepcopy(body, dict(shared))
    layers = transformer_layers(view, view.config.num_hidden_layers)
    if n_layers is not None:
        del layers[n_layers:]
    return view, layers


def _attention_of(layer: nn.Module) -> nn.Module:
    """The attention of a transformer layer."""
    found = [module for module in layer.modules() if hasattr(module, "is_causal")]
    if len(found) != 1:
        raise BackboneError(
            f"a {type(layer).__name__} has {len(found)} modules of attention, not one: use another "
            "decoder"
        )
    return found[0]
