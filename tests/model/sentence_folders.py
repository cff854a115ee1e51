"""Tiny folders written by sentence-transformers itself, for others to read as published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from model.tiny_models import save_backbone
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch import nn

QUERIES = ["How long do refunds take?", "who wrote the report in 1987?", "Paris"]
DOCUMENTS = [
    "Refunds take five working days after we receive the parcel.",
    "The library opens at nine, and closes at six; on Sundays it stays shut." * 3,
    "Paris is the capital of France",
    "The report was written by a team of four people in 1987.",
    "Berlin",
    "we receive the parcel and the report; Paris stays shut, and Berlin is open.",
]

__all__ = ["DOCUMENTS", "QUERIES", "save_published"]


def save_published(
    kind: str,
    folder: Path,
    *,
    pooling: str | Sequence[str] = "mean",
    include_prompt: bool = True,
    steps: Sequence[nn.Module] = (),
    left: bool = False,
    transformer: dict[str, Any] | None = None,
    **settings: Any,
) -> SentenceTransformer:
    """Write a random model of an architecture, and give it as sentence-transformers has it.

    Args:
        kind: as for `save_backbone`.
        folder: a new one.
        pooling: mode, or modes whose vectors are laid end to end.
        include_prompt: prompts are pooled.
        steps: modules behind the pooling; their weights are made large and random.
        left: the tokenizer pads at the left, as those of decoders often do.
        transformer: arguments of its `Transformer`.
        settings: of the `SentenceTransformer`: prompts, similarity_fn_name, truncate_dim ...
    """
    bare = save_backbone(kind, folder / "bare")
    whole = Transformer(str(bare), **(transformer or {}))
    if whole.tokenizer.pad_token is None:
        whole.tokenizer.pad_token = whole.tokenizer.eos_token
    if left:
        whole.tokenizer.padding_side = "left"
    generator = torch.Generator().manual_seed(7)
    for step in steps:
        for parameter in step.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    modes = pooling if isinstance(pooling, str) else tuple(pooling)
    pooled = Pooling(whole.get_embedding_dimension(), modes, include_prompt=include_prompt)
    model = SentenceTransformer(modules=[whole, pooled, *steps], device="cpu", **settings)
    model.save_pretrained(str(folder / "published"), create_model_card=False)
    return model
