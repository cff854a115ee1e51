"""Tiny random causal language models on disk, and the replies transformers gets of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from model.tiny_models import save_backbone
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from unimoer_rag.retrieval.types import Hit, Passage

__all__ = ["HITS", "QUESTION", "TEMPLATE", "finish", "reference", "save_llm"]

QUESTION = "How long do refunds take?"
HITS = [
    Hit(Passage("Refunds take five working days.", "refunds.md", "Refunds", 10, 41), rerank=0.9),
    Hit(Passage("The library opens at nine.", "hours.md", "", 0, 26), rerank=0.1),
]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if enable_thinking %}<think>{% endif %}"
    "{% endif %}"
)


def save_llm(
    folder: Path,
    *,
    kind: str = "qwen3",
    config: PretrainedConfig | None = None,
    tied: bool = True,
    template: str | None = TEMPLATE,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Write a causal language model; `changes` are to its configuration."""
    save_backbone(kind, folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(str(folder))
    config = config or AutoConfig.from_pretrained(str(folder))
    config.vocab_size = len(tokenizer)
    config.tie_word_embeddings = tied
    for name, value in changes.items():
        setattr(config, name, value)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:  # large enough for a reply with many different tokens
                    parameter.normal_(std=0.4)
    model.save_pretrained(str(folder))
    return folder


def reference(
    folder: Path, messages: list[dict[str, str]], n: int
) -> tuple[PreTrainedTokenizerBase, list[int]]:
    """The greedy reply of transformers' own loop, with the token that ends it."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        whole = model.generate(**prompt, max_new_tokens=n, do_sample=False)
    return tokenizer, whole[0, prompt["input_ids"].shape[1] :].tolist()


def finish(reply: Any) -> tuple[list[int], str]:
    """The tokens and the text of a reply, to its end."""
    pieces = []
    while (piece := reply.more().result(60)) is not None:
        pieces.append(piece)
    return reply.ids, "".join(pieces)
