"""Tiny, randomly initialised backbones with tiny fast tokenizers, one for each architecture."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    MPNetConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
)

from unimoer_rag.model.io.architectures import model_class
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.unimoer import UniMoER

CORPUS = [
    "How long do refunds take? Refunds take five working days after we receive the parcel.",
    "The library opens at nine, and closes at six; on Sundays it stays shut.",
    "Paris is the capital of France, and Berlin is the capital of Germany.",
    "Who wrote the report? The report was written by a team of four people in 1987.",
]
TEXTS = [
    "refunds take five working days",
    "the library opens at nine, and closes at six; on Sundays it stays shut.",
    "Paris",
    "the report was written by a team of four people in 1987",
]
ENCODERS = ("bert", "modernbert", "xlm-roberta")
DECODERS = ("qwen3", "mistral", "llama")
ARCHITECTURES = (*ENCODERS, *DECODERS)
ALL_ENCODERS = (
    *ENCODERS, "roberta", "mpnet", "distilbert", "deberta-v2", "t5", "gemma3-bidirectional",
    "llama-bidirectional",
)  # fmt: skip
ALL_DECODERS = (*DECODERS, "qwen2", "mistral-window", "gemma2", "gemma3", "phi", "phi3")

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_CAUSAL: dict[str, Any] = {**_SIZES, "num_key_value_heads": 2, "max_position_embeddings": 512}


def _words() -> list[str]:
    return sorted({word for text in CORPUS for word in re.findall(r"\w+", text.lower())})


def _letters() -> list[str]:
    return sorted({letter for text in CORPUS for letter in text.lower() if letter != " "})


# The vocabularies are written down, not trained: the trainers break ties at random.
def _wordpiece() -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = _letters()
    pieces = dict.fromkeys([*special, *letters, *(f"##{c}" for c in letters), *_words()])
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _unigram(*, begin: bool = True) -> PreTrainedTokenizerFast:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [(piece, 0.0) for piece in special]
    pieces += [(piece, -6.0) for piece in ("\u2581", *_letters())]
    pieces += [(f"\u2581{word}", -8.0) for word in _words()]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>" if begin else "$A </s>",
        pair="<s> $A </s> </s> $B </s>" if begin else "$A </s> $B </s>",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def _byte_level(
    *, bos: bool, eos: bool = False, pad: bool | None = None
) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if bos or eos:
        text = "<|begin|> {}" if bos else "{}"
        text += " <|endoftext|>" if eos else ""
        tokenizer.post_processor = TemplateProcessing(
            single=text.format("$A"),
            pair=f"{text.format('$A')} {text.format('$B:1')}",
            special_tokens=[(name, tokenizer.token_to_id(name)) for name in special],
        )
    # As Llama and Mistral ship theirs: no padding token.
    padded = not bos if pad is None else pad
    named = {"pad_token": "<|endoftext|>"} if padded else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", **named)


def _config(kind: str, tokenizer: PreTrainedTokenizerFast) -> Any:
    size = {"vocab_size": len(tokenizer)}
    pad = {"pad_token_id": tokenizer.pad_token_id}
    match kind:
        case "bert":
            return BertConfig(**_SIZES, **size, **pad, max_position_embeddings=256)
        case "modernbert":
            return ModernBertConfig(
                **_SIZES,
                **size,
                **pad,
                cls_token_id=tokenizer.cls_token_id,
                sep_token_id=tokenizer.sep_token_id,
                bos_token_id=tokenizer.cls_token_id,
                eos_token_id=tokenizer.sep_token_id,
                max_position_embeddings=256,
                local_attention=8,
            )
        case "xlm-roberta":
            return XLMRobertaConfig(
                **_SIZES, **size, **pad, max_position_embeddings=258, type_vocab_size=1
            )
        case "qwen3":
            return Qwen3Config(**_CAUSAL, **size, **pad, head_dim=8)
        case "mistral":
            return MistralConfig(**_CAUSAL, **size, head_dim=8, sliding_window=None)
        case "llama":
            return LlamaConfig(**_CAUSAL, **size)
        case "llama-bidirectional":
            return LlamaConfig(**_CAUSAL, **size, is_causal=False)
        case "roberta":
            return RobertaConfig(**_SIZES, **size, **pad, max_position_embeddings=258)
        case "mpnet":
            return MPNetConfig(**_SIZES, **size, **pad, max_position_embeddings=258)
        case "distilbert":
            return DistilBertConfig(
                **size, **pad, dim=32, n_layers=3, n_heads=4, hidden_dim=48,
                max_position_embeddings=256,
            )  # fmt: skip
        case "deberta-v2":  # as DeBERTa-v3 has it
            return DebertaV2Config(
                **_SIZES, **size, **pad, max_position_embeddings=256, relative_attention=True,
                position_buckets=16, share_att_key=True, norm_rel_ebd="layer_norm",
                pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
            )  # fmt: skip
        case "t5":
            return T5Config(
                **size, **pad, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4,
                relative_attention_num_buckets=8, relative_attention_max_distance=16,
                feed_forward_proj="gated-gelu",
            )  # fmt: skip
        case "qwen2":
            return Qwen2Config(**_CAUSAL, **size)
        case "mistral-window":
            return MistralConfig(**_CAUSAL, **size, head_dim=8, sliding_window=8)
        case "gemma2":
            return Gemma2Config(
                **_CAUSAL, **size, **pad, head_dim=8, sliding_window=8, query_pre_attn_scalar=8,
                attn_logit_softcapping=2.0,
            )  # fmt: skip
        case "gemma3" | "gemma3-bidirectional":
            return Gemma3TextConfig(
                **_CAUSAL, **size, **pad, head_dim=8, sliding_window=8, query_pre_attn_scalar=8,
                sliding_window_pattern=2, use_bidirectional_attention=kind != "gemma3",
            )  # fmt: skip
        case "phi":
            return PhiConfig(**_CAUSAL, **size)
        case "phi3":
            return Phi3Config(**_CAUSAL, **size, pad_token_id=1, sliding_window=8)
    raise ValueError(kind)


_TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "bert": _wordpiece,
    "modernbert": _wordpiece,
    "xlm-roberta": _unigram,
    "qwen3": lambda: _byte_level(bos=False),
    "mistral": lambda: _byte_level(bos=True),
    "llama": lambda: _byte_level(bos=True),
    "llama-bidirectional": lambda: _byte_level(bos=True, eos=True, pad=True),
    "roberta": _unigram,
    "mpnet": _unigram,
    "distilbert": _wordpiece,
    "deberta-v2": _wordpiece,
    "t5": lambda: _unigram(begin=False),
    "qwen2": lambda: _byte_level(bos=False, eos=True),
    "mistral-window": lambda: _byte_level(bos=True, eos=True, pad=True),
    "gemma2": lambda: _byte_level(bos=True, eos=True, pad=True),
    "gemma3": lambda: _byte_level(bos=True, eos=True, pad=True),
    "gemma3-bidirectional": lambda: _byte_level(bos=True, eos=True, pad=True),
    "phi": lambda: _byte_level(bos=False),
    "phi3": lambda: _byte_level(bos=True, pad=True),
}


def save_backbone(kind: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a tiny backbone of an architecture, as a Hugging Face folder."""
    tokenizer = _TOKENIZERS[kind]()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = _config(kind, tokenizer)
        model = model_class(config)._from_config(config)
        for parameter in model.parameters():  # large enough for texts to differ clearly
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.15)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


def make_model(path: Path, *, trained: bool = True, seed: int = 1, **options: Any) -> UniMoER:
    """A float32 CPU model on a backbone; `trained` fills experts, router and heads at random."""
    model = UniMoER.from_backbone(str(path), device="cpu", dtype="float32", **options)
    return randomise(model, seed=seed) if trained else model


def randomise(model: UniMoER, *, seed: int = 1) -> UniMoER:
    """Give every expert, router row and head weight a random value: a stand-in for training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in parameters_by_name(model).items():
            if parameter.dim():  # the late head's three numbers stay
                spread = 0.5 if name.startswith("router.") else 0.2
                noise = torch.randn(parameter.shape, generator=generator) * spread
                # What a checkpoint keeps of an expert, so that saving loses nothing.
                parameter.copy_(noise.half() if name.startswith("experts.") else noise)
    return model


__all__ = [
    "ALL_DECODERS",
    "ALL_ENCODERS",
    "ARCHITECTURES",
    "CORPUS",
    "DECODERS",
    "ENCODERS",
    "TEXTS",
    "make_model",
    "randomise",
    "save_backbone",
]
