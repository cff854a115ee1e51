"""Tiny causal language models on disk, and what transformers alone makes of a text in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from model.tiny_models import save_backbone
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

__all__ = ["DOCUMENTS", "QUERY", "Reference", "save_decoder"]

QUERY = "how long do refunds take?"
DOCUMENTS = [
    "Refunds take five working days after we receive the parcel.",
    "Paris",
    "The library opens at nine, and closes at six; on Sundays it stays shut.",
    "The report was written by a team of four people in 1987.",
    "Refunds of parcels: the team of the library of Paris, the capital of France, takes them.",
]


def save_decoder(
    folder: Path,
    kind: str = "qwen3",
    *,
    tokens: Sequence[str] = (),
    template: str | None = None,
    tied: bool = True,
    shard_size: str = "1GB",
) -> Path:
    """Write a tiny causal language model whose tokenizer has some tokens more."""
    save_backbone(kind, folder)
    (folder / "model.safetensors").unlink()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.add_tokens(list(tokens), special_tokens=True)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(str(folder))
    config = AutoConfig.from_pretrained(str(folder))
    config.vocab_size, config.tie_word_embeddings = len(tokenizer), tied
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # large enough for texts to differ clearly
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.2)
    model.save_pretrained(str(folder), max_shard_size=shard_size)
    return folder


class Reference:
    """A folder read by transformers alone, one text at a time: nothing is padded or batched."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)

    @torch.inference_mode()
    def states(self, text: str, *, framed: bool = False) -> tuple[Tensor, Tensor]:
        """Token ids `[n]` and last hidden states `[n, width]` of one text."""
        inputs = self.tokenizer(text, return_tensors="pt", add_special_tokens=framed)
        output = self.model(input_ids=inputs["input_ids"], output_hidden_states=True)
        return inputs["input_ids"][0], output.hidden_states[-1][0]

    @torch.inference_mode()
    def logits(self, text: str, *, framed: bool = False) -> Tensor:
        """Logits of what follows a text, over the whole vocabulary."""
        inputs = self.tokenizer(text, return_tensors="pt", add_special_tokens=framed)
        logits: Tensor = self.model(input_ids=inputs["input_ids"]).logits[0, -1]
        return logits
