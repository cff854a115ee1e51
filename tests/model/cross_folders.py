"""Tiny cross-encoders on disk, in each form that such models are published in."""

from __future__ import annotations

from typing import Any

from transformers import (
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 130,
}
CONFIGS: dict[str, Any] = {
    "bert": BertConfig,
    "roberta": RobertaConfig,
    "xlm-roberta": XLMRobertaConfig,
    "mpnet": MPNetConfig,
    "distilbert": DistilBertConfig,
    "electra": ElectraConfig,
    "deberta-v2": DebertaV2Config,
    "modernbert": ModernBertConfig,
}
