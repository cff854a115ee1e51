"""The language model around a decoder: its output layer on the weights that are loaded already."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.pretrained import LOCAL, read_tensors
from unimoer_rag.model.layers.quantized import Int8Embedding

__all__ = ["resident_language_model", "with_output_layer"]

_resident: weakref.WeakKeyDictionary[RoutedModel, Any] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def resident_language_model(model: RoutedModel) -> Any:
    """The causal language model of a model's backbone, on the very weights it embeds with.

    Run outside a routing scope, its experts are off: it is the backbone as it was published. Every
    caller gets the same one, so that an output layer of its own is loaded once.

    Raises:
        BackboneError: the backbone is an encoder, or its files hold no output layer.
    """
    with _making:
        if model not in _resident:
            _resident[model] = with_output_layer(model.backbone, model.path, causal=model.causal)
        return _resident[model]


def with_output_layer(backbone: nn.Module, path: Path, *, causal: bool) -> Any:
    """The causal language model of transformers that a backbone is the body of.

    Nothing of the body is copied. An output layer tied to the embeddings is their matrix; another
    one is read from the backbone's files, alone.

    Args:
        backbone: a loaded body, without an output layer.
        path: the folder it was loaded from.
        causal: it is a decoder.

    Raises:
        BackboneError: it is an encoder, its files hold no output layer, or its
            generation_config.json is broken.
    """
    from transformers import AutoModelForCausalLM

    config: Any = backbone.config
    if any(isinstance(module, Int8Embedding) for module in backbone.modules()):
        raise BackboneError(
            "the model is held in fewer bits, which embeds, reranks and reads, but writes no text: "
            "load it with dtype 'bfloat16' to write with it"
        )
    if not causal:
        raise BackboneError(
            f"{path} is no decoder (transformers marks no attention of {config.model_type} as "
            "causal): an encoder embeds and reads, but writes no text; give a decoder, such as "
            "qwen3-0.6b"
        )
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ValueError as error:
        raise BackboneError(
            f"transformers has no causal language model for {config.model_type}: give another model"
        ) from error
    setattr(model, model.base_model_prefix, backbone)
    output = model.get_output_embeddings()
    if config.tie_word_embeddings:
        output.weight = model.get_input_embeddings().weight
    missing = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    like = next(backbone.parameters())
    tensors = read_tensors(
        path,
        missing,
        what="output layer",
        expected="it embeds and reads, but writes no text; give the folder of a causal language "
        "model",
    )
    for name, tensor in tensors.items():
        parent, _, own = name.rpartition(".")
        kept = nn.Parameter(tensor.to(like.device, like.dtype), requires_grad=False)
        setattr(model.get_submodule(parent), own, kept)
    model.generation_config = _generation_config(path, model.generation_config)
    return model.eval()


def _generation_config(path: Path, default: Any) -> Any:
    """What the model's makers say about its generation; names the tokens that end a reply."""
    from transformers import GenerationConfig

    if not (path / "generation_config.json").is_file():
        return default
    try:
        return GenerationConfig.from_pretrained(str(path), **LOCAL)
    except Exception as error:  # broken JSON and bad values, of many kinds
        raise BackboneError(
            f"cannot read {path / 'generation_config.json'} ({type(error).__name__}: {error}): "
            "correct it, or delete it for the model's defaults"
        ) from error
