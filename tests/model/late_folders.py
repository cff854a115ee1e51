"""Tiny late-interaction models on disk, in each form that such models are published in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from model.tiny_models import save_backbone
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

DIMENSION = 16


def save_multi_vector(folder: Path, kind: str = "bert", **options: Any) -> Path:
    """One that sentence-transformers wrote.

    Args:
        folder: where.
        kind: of `save_backbone`.
        options: `prompts` and `similarity_fn_name` of the encoder; `mask` of its MultiVectorMask;
            `dense`, the modules in the middle; others of its Transformer.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    whole = {key: options.pop(key) for key in ("prompts", "similarity_fn_name") if key in options}
    mask = options.pop("mask", {"skiplist_words": list(".,;?!")})
    dense = options.pop("dense", None)
    transformer = Transformer(str(save_backbone(kind, folder / "body")), **options)
    modules = [
        transformer,
        *(dense_chain() if dense is None else dense),
        MultiVectorMask(**mask),
        Normalize(module_input_name="token_embeddings"),
    ]
    model = MultiVectorEncoder(modules=modules, device="cpu", **whole)
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


def dense_chain() -> list[Any]:
    """A projection without bias, as ColBERT has it."""
    from sentence_transformers.base.modules.dense import Dense

    torch.manual_seed(5)
    return [
        Dense(
            32,
            DIMENSION,
            bias=False,
            activation_function=torch.nn.Identity(),
            module_input_name="token_embeddings",
        )
    ]


def save_pylate(folder: Path, kind: str = "bert", *, known: bool = True, **settings: Any) -> Path:
    """One as PyLate 1.6 writes it: `[Transformer, Dense]`, and what it knows in one file.

    Args:
        folder: where.
        kind: of `save_backbone`.
        known: the prefixes are tokens of the vocabulary, as PyLate makes them.
        settings: of `config_sentence_transformers.json`.
    """
    save_backbone(kind, folder)
    if known:
        _add_tokens(folder, ["[Q] ", "[D] "])
    torch.manual_seed(6)
    (folder / "1_Dense").mkdir()
    weight = {"linear.weight": torch.randn(DIMENSION, 32)}
    save_file(weight, folder / "1_Dense" / "model.safetensors")
    own = {
        "in_features": 32,
        "out_features": DIMENSION,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
        "use_residual": False,
    }
    _write(folder / "1_Dense" / "config.json", own)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    _write(folder / "modules.json", modules)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    said = {
        "model_type": "ColBERT",
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 24,
        "document_length": 30,
        "attend_to_expansion_tokens": False,
        "skiplist_words": list(".,;?!"),
        "do_query_expansion": True,
    }
    _write(folder / "config_sentence_transformers.json", said | settings)
    return folder


def save_stanford(folder: Path, **metadata: Any) -> Path:
    """One as Stanford's ColBERT writes it: BERT with a projection among its tensors."""
    save_backbone("bert", folder)
    _add_tokens(folder, ["[unused0]", "[unused1]"], plain=True)
    tensors = load_file(folder / "model.safetensors")
    tensors = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    torch.manual_seed(7)
    tensors["linear.weight"] = torch.randn(DIMENSION, 32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    _write(folder / "config.json", config | {"architectures": ["HF_ColBERT"]})
    said = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_maxlen": 20,
        "doc_maxlen": 28,
        "dim": DIMENSION,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
    }
    _write(folder / "artifact.metadata", said | metadata)
    return folder


def _add_tokens(folder: Path, tokens: list[str], *, plain: bool = False) -> None:
    """Make room for tokens among the embeddings, and name them.

    Args:
        folder: the backbone's.
        tokens: to be known.
        plain: as words of the vocabulary, which the tokenizer would cut into pieces.
    """
    from transformers import AutoModel

    path = str(folder)
    if plain:
        said = json.loads((folder / "tokenizer.json").read_text())
        vocabulary = said["model"]["vocab"]
        for token in tokens:
            vocabulary[token] = len(vocabulary)
        _write(folder / "tokenizer.json", said)
    tokenizer = AutoTokenizer.from_pretrained(path)
    if not plain:
        tokenizer.add_tokens(tokens)
        tokenizer.save_pretrained(path)
    model = AutoModel.from_pretrained(path)
    torch.manual_seed(8)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(path)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
