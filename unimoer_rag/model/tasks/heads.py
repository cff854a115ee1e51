"""Heads: from token states to answers, all in float32. "late" has a module of its own.

| head | reads | gives, per row |
|---|---|---|
| vector (`pool`) | all real tokens (last one on decoders) | embedding `[width]` |
| late | the text's tokens | `late.LateState`, compared by `late.LateHead.compare` |
| cross | both segments of a pair (last token on decoders) | one relevance logit |
| span | the document's tokens and the first (last) token | `SpanScores` |
| class | one text or both segments of a pair (last token on decoders) | a logit a label |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.rows import Row

__all__ = [
    "MAX_ANSWER_TOKENS",
    "ClassHead",
    "CrossHead",
    "SpanHead",
    "SpanScores",
    "pool",
    "span_logits",
]

# Longest answer the span head considers, in tokens.
MAX_ANSWER_TOKENS = 30


def pool(hidden: Tensor, mask: Tensor, *, causal: bool) -> Tensor:
    """L2-normalised text vectors: the mean of real tokens, or the last one on decoders.

    Args:
        hidden: `[rows, tokens, width]`.
        mask: bool `[rows, tokens]`.
        causal: the backbone is a decoder.

    Returns:
        float32 `[rows, width]`.
    """
    if causal:
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(-1) - 1].float()
    else:
        weight = mask.float().unsqueeze(-1)
        pooled = (hidden.float() * weight).sum(1) / weight.sum(1)
    return functional.normalize(pooled, dim=-1)


@dataclass(frozen=True, slots=True)
class SpanScores:
    """Scores of one question on one passage, before decoding.

    Attributes:
        start: float32 `[n]`, a logit for each document token.
        end: float32 `[n]`.
        null: the logit of "no answer here".
    """

    start: Tensor
    end: Tensor
    null: Tensor


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


class ClassHead(nn.Module):
    """Logits of a row's labels: an MLP over one text, or over a pair encoded together.

    The last map starts at zero, so that an untrained head answers every row alike.

    Args:
        width: hidden size of the backbone.
        labels: how many there are.
        causal: the backbone is a decoder.
    """

    def __init__(self, width: int, labels: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.hidden = nn.Linear(width if causal else 4 * width, width)
        self.out = nn.Linear(width, labels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden: Tensor, rows: Sequence[Row]) -> Tensor:
        """Logits float32 `[rows, labels]` from states `[rows, tokens, width]`."""
        features = _row_features(hidden, rows, causal=self.causal)
        logits: Tensor = self.out(functional.gelu(self.hidden(features)))
        return logits


class CrossHead(ClassHead):
    """A relevance logit from a joint encoding of query and document: a `ClassHead` of one label."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__(width, 1, causal=causal)

    def forward(self, hidden: Tensor, rows: Sequence[Row]) -> Tensor:
        """Logits float32 `[rows]` from states `[rows, tokens, width]`."""
        return super().forward(hidden, rows).squeeze(-1)


class SpanHead(nn.Module):
    """Start, end and no-answer logits over a question and passage encoded together.

    The no-answer logit is read at the first token, as BERT does for SQuAD 2 (Devlin et al. 2019,
    section 4.3), and at the last one on decoders.
    """

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, 2)
        self.null = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, rows: Sequence[Row]) -> list[SpanScores]:
        """Scores of each row's document tokens, from states `[rows, tokens, width]`."""
        states = functional.gelu(self.hidden(hidden.float()))
        edges = self.out(states)
        scores = []
        for at, row in enumerate(rows):
            start, end = row.second
            whole = len(row.ids) - 1 if self.causal else 0
            scores.append(
                SpanScores(
                    start=edges[at, start:end, 0],
                    end=edges[at, start:end, 1],
                    null=self.null(states[at, whole]).squeeze(-1),
                )
            )
        return scores


def span_logits(scores: SpanScores) -> Tensor:
    """Logits of every span by first and last token: float32 `[n, n]`.

    Minus infinity where the end precedes the start or the span is over `MAX_ANSWER_TOKENS` long.
    """
    n = len(scores.start)
    position = torch.arange(n, device=scores.start.device)
    length = position.unsqueeze(0) - position.unsqueeze(1)
    allowed = (length >= 0) & (length < MAX_ANSWER_TOKENS)
    joint = scores.start.unsqueeze(1) + scores.end.unsqueeze(0)
    return joint.masked_fill(~allowed, -torch.inf)
