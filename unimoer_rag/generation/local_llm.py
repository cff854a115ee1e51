"""Generation by a causal language model of transformers, loaded for nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unimoer_rag.generation.decoding import Decoder, OwnThread
from unimoer_rag.model import (
    choose_device,
    choose_dtype,
    load_backbone,
    resolve_backbone,
    with_output_layer,
)

__all__ = ["LocalLLM"]


class LocalLLM(Decoder):
    """A causal language model from a folder or the Hub, beside the model that retrieves.

    Replies asked for at the same time take turns on the device. Only safetensors are read, and no
    code of a model's repository runs.

    Args:
        model: a folder, a repository of the Hub with its `revision`, or a known decoder
            ("qwen3-0.6b").
        revision: the commit of the repository.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        max_tokens: of a reply.
        temperature: 0 for the most probable token at every step.
        seed: of the draws at a temperature above 0.
        template_options: variables of the chat template, by default `{"enable_thinking": False}`.

    Raises:
        BackboneError: there is no such model, or it is no causal language model.
        InputError: an argument has a value that cannot be used.

    >>> generator = Writer(LocalLLM("./Qwen3-0.6B"))   # doctest: +SKIP
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        template_options: Mapping[str, Any] | None = None,
    ) -> None:
        where = choose_device(device)
        path = resolve_backbone(f"{model}@{revision}" if revision else model)
        body = load_backbone(path, dtype=choose_dtype(dtype, where), device=where, attention=None)
        super().__init__(
            with_output_layer(body.model, path, causal=body.family == "decoder"),
            body.tokenizer,
            device=OwnThread(),
            name=model,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            template_options=template_options,
        )
