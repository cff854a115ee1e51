"""What differs between the architectures that a backbone may have, each asked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.layers.scope import routing_scope

__all__ = [
    "Family",
    "choose_attention",
    "family_of",
    "feed_forward_width",
    "first_position",
    "max_positions",
    "model_class",
    "prepare",
    "sees_tables",
]

Family = Literal["encoder", "decoder"]

# Of an encoder and a decoder, the encoder alone gives a text's states.
_ENCODERS: Mapping[str, str] = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
}
# Positions by distance alone: no row is too long for them.
_ENDLESS = 10**6


def model_class(config: Any) -> Any:
    """The class of transformers that gives the token states of a configuration's model.

    Raises:
        BackboneError: transformers has none for texts.
    """
    import transformers

    if config.model_type in _ENCODERS:
        return getattr(transformers, _ENCODERS[config.model_type])
    found = transformers.MODEL_MAPPING.get(type(config), None)
    one = found[0] if isinstance(found, list | tuple) and found else found
    if (
        one is None
        or hasattr(config, "vision_config")
        or getattr(config, "is_encoder_decoder", False)
    ):
        raise BackboneError(
            f"a {config.model_type} gives no token states of a text alone: expected an encoder, a "
            "decoder or a T5 encoder of transformers; choose such a model"
        )
    return one


def choose_attention(kind: Any, attention: str | None) -> str | None:
    """The attention implementation that a model's class runs with.

    Args:
        kind: the class.
        attention: what is asked for; "sdpa" gives way to the class's own where it cannot be had,
            as with attention scores that are capped (Gemma 2) or need the positions (DeBERTa).
    """
    return None if attention == "sdpa" and not kind._supports_sdpa else attention


def prepare(model: Any) -> None:
    """Make a loaded model give token states as its configuration says, with experts beside it."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # a head that nothing here reads, and memory for it
    if getattr(model.config, "is_causal", None) is False:
        # Transformers leaves out the mask of rows without padding, and asks the layers then.
        for module in model.modules():
            if getattr(module, "is_causal", False):
                module.is_causal = False
    if family_of(model) == "encoder":
        model.config.use_cache = False
    if model.config.model_type == "deberta-v2":
        _keep_tables_frozen(model)


def family_of(model: nn.Module) -> Family:
    """Decoders mark their attention modules causal; encoders do not."""
    causal = any(getattr(module, "is_causal", False) for module in model.modules())
    return "decoder" if causal else "encoder"


def first_position(model: nn.Module) -> int:
    """What a model calls a row's first position: RoBERTa and MPNet begin behind the padding's."""
    embeddings = getattr(model, "embeddings", None)
    reserved = getattr(embeddings, "padding_idx", None)
    return 0 if reserved is None else int(reserved) + 1


def max_positions(model: Any) -> int:
    """The longest input that a model has positions for."""
    most = getattr(model.config, "max_position_embeddings", None)
    return int(most) - first_position(model) if most and most > 0 else _ENDLESS


def feed_forward_width(config: Any) -> int:
    """Size of a feed-forward layer's inner states, which T5 and DistilBERT call otherwise."""
    names = ("intermediate_size", "d_ff", "hidden_dim")
    return next(int(found) for name in names if (found := getattr(config, name, None)))


def sees_tables(config: Any, layer: str) -> bool:
    """Whether a linear layer also projects positions that belong to no row, as in DeBERTa-v3.

    Experts leave those alone, and a plain LoRA on the layer does not.
    """
    shared = config.model_type == "deberta-v2" and getattr(config, "share_att_key", False)
    return bool(shared) and layer.endswith((".query_proj", ".key_proj"))


def _keep_tables_frozen(model: nn.Module) -> None:
    """Leave experts out of DeBERTa's position tables.

    Its layers send the table of relative positions through the projections of queries and keys.
    A table belongs to no row, and so to no expert.
    """
    from transformers.models.deberta_v2 import modeling_deberta_v2 as deberta

    class Attention(deberta.DisentangledSelfAttention):  # type: ignore[misc]
        def disentangled_attention_bias(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            with routing_scope(None):
                bias: torch.Tensor = super().disentangled_attention_bias(*args, **kwargs)
            return bias

    for module in model.modules():
        if type(module) is deberta.DisentangledSelfAttention:
            module.__class__ = Attention
