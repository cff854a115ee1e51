"""The weights of heads that judge a row as a whole: an MLP over what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.tasks.head import Head

if TYPE_CHECKING:
    from unimoer_rag.model.rows import Row

__all__ = ["RowMlp"]


class RowMlp(Head):
    """So many logits of a row. The last map starts at zero."""

    learnt = True

    def __init__(self, width: int, size: int, *, causal: bool) -> None:
        super().__init__(causal=causal)
        self.hidden = nn.Linear(width if causal else 4 * width, width)
        self.out = nn.Linear(width, size)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def row_logits(self, hidden: Tensor, rows: Sequence[Row]) -> Tensor:
        """Float32 `[rows, size]` from states `[rows, tokens, width]`."""
        features = _row_features(hidden, rows, causal=self.causal)
        logits: Tensor = self.out(functional.gelu(self.hidden(features)))
        return logits


def _segment_mean(hidden: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """Mean state of one token span a row, zeros for an empty one: `[rows, width]`."""
    means = [
        row[s:e].mean(0) if e > s else row.new_zeros(row.shape[-1])
        for row, (s, e) in zip(hidden, spans, strict=True)
    ]
    return torch.stack(means)


def _row_features(hidden: Tensor, rows: Sequence[Row], *, causal: bool) -> Tensor:
    """What a row says as a whole, float32 `[rows, width]` on decoders, else `[rows, 4 * width]`.

    Encoders: the pooled segments `[q, d, q*d, |q-d|]` of InferSent (Conneau et al. 2017, section
    3.1); a row of one text has zeros for `d`. Decoders: the last token.
    """
    states = hidden.float()
    if causal:
        return torch.stack([s[len(r.ids) - 1] for s, r in zip(states, rows, strict=True)])
    q = _segment_mean(states, [row.first for row in rows])
    d = _segment_mean(states, [row.second for row in rows])
    return torch.cat([q, d, q * d, (q - d).abs()], dim=-1)
