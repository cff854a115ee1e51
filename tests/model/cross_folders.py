"""Tiny cross-encoders on disk, in each form that such models are published in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from model.tiny_models import save_backbone
from transformers import AutoConfig, AutoModelForSequenceClassification

__all__ = ["change", "save_chain", "save_cross"]


def save_cross(folder: Path, kind: str = "bert", *, labels: int = 1, **config: Any) -> Path:
    """A sequence classification model of transformers, its rows 48 tokens long."""
    save_backbone("bert" if kind == "electra" else kind, folder)
    said = AutoConfig.from_pretrained(str(folder), num_labels=labels, **config)
    if kind == "electra":
        shared = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        sizes = {key: getattr(said, key) for key in (*shared, "vocab_size", "pad_token_id")}
        said = AutoConfig.for_model("electra", **sizes, embedding_size=24, num_labels=labels)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_config(said)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.2)
    model.save_pretrained(str(folder))
    tokenizer = folder / "tokenizer_config.json"
    change(tokenizer, model_max_length=48)
    return folder


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def save_chain(folder: Path, pooling: str = "cls", out: int = 1) -> Path:
    """One of sentence-transformers whose modules end in `out` scores, as Ettin's rerankers do."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    torch.manual_seed(4)
    body = Transformer(str(save_backbone("modernbert", folder / "bare")), max_seq_length=40)
    norm = LayerNorm(32)
    norm.norm.weight.data.normal_(mean=1)
    modules = [
        body,
        Pooling(32, pooling),
        Dense(32, 32, bias=False, activation_function=torch.nn.GELU()),
        norm,
        Dense(32, out, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    model = CrossEncoder(modules=modules, device="cpu")
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"
