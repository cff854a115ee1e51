"""What people would run a decoder with: sentence-transformers to embed, transformers to rerank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.bench.random_decoder import POSITIONS
from unimoer_rag.model import CrossHead, Row, UniMoER

__all__ = ["ATTENTIONS", "open_embedders", "score_pairs"]

ATTENTIONS = ("sdpa", "flash_attention_2")
"""Attention implementations of transformers that are tried, the default first."""


def open_embedders(
    folder: Path, *, device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, Any], dict[str, str]]:
    """A `SentenceTransformer` of a decoder once for each attention.

    Args:
        folder: the decoder's.
        device: where it runs.
        dtype: of its weights.

    Returns:
        The models by attention, and for each attention that cannot run here the reason.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """
    with needs_extra("sentence_transformers", "bench", "the benchmark of decoders"):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    def load(attention: str) -> Any:
        options = {"dtype": dtype, "attn_implementation": attention}
        inner = Transformer(str(folder), model_kwargs=options, max_seq_length=POSITIONS)
        pooling = Pooling(inner.get_embedding_dimension(), pooling_mode="lasttoken")
        whole = SentenceTransformer(
            modules=[inner, pooling], device=str(device), trust_remote_code=False
        )
        whole.encode("once")  # some attention fails in its first forward
        return whole

    opened = {ATTENTIONS[0]: load(ATTENTIONS[0])}
    refused: dict[str, str] = {}
    for attention in ATTENTIONS[1:]:
        if device.type != "cuda":
            refused[attention] = "it runs on CUDA alone"
            continue
        try:
            opened[attention] = load(attention)
        except Exception as error:  # noqa: BLE001 - each package of kernels has its own kinds
            refused[attention] = f"{type(error).__name__}: {error}"
    return opened, refused


@torch.inference_mode()
def score_pairs(
    plain: Any, model: UniMoER, rows: Sequence[Row], *, batch: int
) -> NDArray[np.float32]:
    """Score pairs as a loop over transformers would: padded batches, longest rows first.

    Args:
        plain: the backbone as transformers loads it.
        model: ours, whose head scores.
        rows: of one task.
        batch: rows a batch.
    """
    head: CrossHead = model.heads[rows[0].task.name]  # type: ignore[assignment]
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at].ids))
    parts = []
    for start in range(0, len(order), batch):
        padded = model.collate([rows[at] for at in order[start : start + batch]])
        mask = padded.mask.long()
        states = plain(input_ids=padded.ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = states[torch.arange(len(states), device=states.device), mask.sum(-1) - 1]
        parts.append(head.out(functional.gelu(head.hidden(last.float()))).squeeze(-1).sigmoid())
    scores = np.empty(len(rows), dtype=np.float32)
    scores[order] = torch.cat(parts).cpu().numpy()
    return scores
