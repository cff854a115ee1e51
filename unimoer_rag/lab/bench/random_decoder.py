"""Decoders of random weights to measure speed with, which cost what trained ones do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import torch

from unimoer_rag.model import UniMoER

__all__ = ["POSITIONS", "SIZES", "DecoderSize", "random_texts", "save_decoder", "state_bytes"]

POSITIONS = 1024
"""The longest row that these decoders take."""


@dataclass(frozen=True, slots=True)
class DecoderSize:
    """The shape of a Qwen3.

    Attributes:
        layers: transformer layers.
        width: of a hidden state.
        heads: of the queries; keys and values have half as many.
        head_size: numbers of a head.
        inner: width between the two linear layers of a block.
    """

    layers: int
    width: int
    heads: int
    head_size: int
    inner: int


SIZES: Mapping[str, DecoderSize] = MappingProxyType(
    {
        "tiny": DecoderSize(layers=2, width=128, heads=4, head_size=32, inner=384),
        "small": DecoderSize(layers=6, width=512, heads=8, head_size=64, inner=1536),
        "qwen3-0.6b": DecoderSize(layers=28, width=1024, heads=16, head_size=128, inner=3072),
    }
)
"""Sizes by name, "tiny" to try a command; their vocabulary is that of `save_decoder`."""


def save_decoder(folder: Path, size: DecoderSize) -> None:
    """Write a Qwen3 of random weights, the same ones for the same size, with a tokenizer.

    Its words are made of syllables, one token each, and every text ends by the end-of-text token.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    syllables = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
    words = ["<end>", "<unknown>", *("".join(pair) for pair in product(syllables, syllables))]
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unknown>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>"
    ).save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=len(words),
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads // 2,
        head_dim=size.head_size,
        max_position_embeddings=POSITIONS,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen3Model(config).save_pretrained(folder)


def random_texts(model: UniMoER, lengths: Iterable[int]) -> list[str]:
    """Texts of so many words, the same ones for the same lengths."""
    words = [word for word in sorted(model.tokenizer.get_vocab()) if word.isalpha()]
    choice = Random(0)
    return [" ".join(choice.choices(words, k=length)) for length in lengths]


def state_bytes(model: UniMoER) -> int:
    """Bytes of the states kept of a token: keys and values in every layer, and the last state."""
    config: Any = model.backbone.config
    pair = 2 * config.num_key_value_heads * config.head_dim
    return int(model.dtype.itemsize * (model.n_layers * pair + model.width))
