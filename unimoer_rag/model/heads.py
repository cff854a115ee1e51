"""Heads: from token states to answers, all computing in float32.

| head | reads | gives, per row |
|---|---|---|
| vector (`pool`) | all real tokens (last one on decoders) | embedding `[width]` |
| late | the text's tokens | `LateState`, compared by `LateHead.compare` |
| cross | both segments of a pair (last token on decoders) | one relevance logit |
| span | the document's tokens and the first (last) token | `SpanScores` |
| class | one text or both segments of a pair (last token on decoders) | a logit a label |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.rows import Row

__all__ = [
    "MAX_ANSWER_TOKENS",
    "ClassHead",
    "CrossHead",
    "LateHead",
    "LateState",
    "SpanHead",
    "SpanScores",
    "pool",
    "punctuation_ids",
    "span_logits",
]

# Best documents of a list that its feedback asks with.
_LEADERS = 2
# Documents compared at a time, to bound the memory of their token similarities.
_COMPARED = 64

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
class LateState:
    """One text encoded for late interaction; can be kept and compared later.

    Attributes:
        tokens: L2-normalised token states `[n, width]`, float16 where kept for inference.
        pooled: L2-normalised text vector `[width]`, float32.
        ids: token ids `[n]`, int64.
    """

    tokens: Tensor
    pooled: Tensor
    ids: Tensor

    @property
    def nbytes(self) -> int:
        """Memory its tensors take."""
        return sum(t.numel() * t.element_size() for t in (self.tokens, self.pooled, self.ids))


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


class LateHead(nn.Module):
    """Late interaction: squared MaxSim of token states plus the cosine of pooled ones.

        logit = maxsim * mean_t max(0, max_j cos(q_t, d_j))^2 + cosine * cos(q, d) + bias

    ColBERT's MaxSim (Khattab & Zaharia 2020) over the query's tokens that are not punctuation;
    squaring lets close matches count for more. The weights and the bias make it a calibrated
    logit. Without experts this is exactly the frozen backbone's late interaction.

    Args:
        punctuation: token ids that carry no letter or digit.
    """

    punctuation: Tensor

    def __init__(self, punctuation: Tensor) -> None:
        super().__init__()
        self.register_buffer("punctuation", punctuation, persistent=False)
        self.maxsim = nn.Parameter(torch.tensor(24.0))
        self.cosine = nn.Parameter(torch.tensor(6.0))
        self.bias = nn.Parameter(torch.tensor(-14.0))

    def state(self, hidden: Tensor, row: Row, pooled: Tensor) -> LateState:
        """Keep what a comparison needs of one row's states `[tokens, width]`."""
        start, end = row.first
        tokens = functional.normalize(hidden[start:end].float(), dim=-1)
        if not torch.is_grad_enabled():
            # Kept by the engine for many passages at once; 11 bits are plenty for a cosine.
            tokens = tokens.half()
        ids = torch.tensor(row.ids[start:end], dtype=torch.int64, device=hidden.device)
        return LateState(tokens=tokens, pooled=pooled, ids=ids)

    def compare(self, query: LateState, documents: Sequence[LateState]) -> Tensor:
        """Relevance logits float32 `[len(documents)]` of documents for one query.

        A text without tokens matches nothing: its MaxSim is 0, the rest of the logit stays.
        """
        if not documents:
            return query.pooled.new_zeros(0)
        worded = ~torch.isin(query.ids, self.punctuation)
        asked = query.tokens[worded] if bool(worded.any()) else query.tokens
        blocks = [
            self._matched(asked.float(), documents[at : at + _COMPARED])
            for at in range(0, len(documents), _COMPARED)
        ]
        cosine = torch.stack([d.pooled for d in documents]) @ query.pooled
        return self.maxsim * torch.cat(blocks) + self.cosine * cosine + self.bias

    def rank(self, query: LateState, documents: Sequence[LateState], feedback: float) -> Tensor:
        """Logits float32 `[len(documents)]` to order documents by, each among the others.

        Pseudo-relevance feedback, in the way of NPRF (Li et al. 2018, 1810.12936): the documents
        that score best ask too, weighted by the softmax of their logits, and a document that is
        like them gains. Nothing is encoded for it.

            logit(d) = (1 - feedback) * compare(q, d) + feedback * sum_l w_l * compare(l, d)

        shifted so that the best logit stays what `compare` gives the best document.

        Args:
            query: the query.
            documents: what was found for it.
            feedback: share of the leading documents' word; 0 gives `compare`'s logits.
        """
        own = self.compare(query, documents)
        if not feedback or len(documents) < 2:
            return own
        best = own.topk(min(_LEADERS, len(documents)))
        weights = best.values.softmax(0)
        asked = [self.compare(documents[at], documents) for at in best.indices.tolist()]
        like = weights @ torch.stack(asked)
        blended = (1 - feedback) * own + feedback * like
        return blended - blended.max() + own.max()

    @staticmethod
    def _matched(asked: Tensor, documents: Sequence[LateState]) -> Tensor:
        """Mean over `asked` of the squared best cosine in each document: `[len(documents)]`."""
        tokens = nn.utils.rnn.pad_sequence([d.tokens for d in documents], batch_first=True)
        lengths = torch.tensor([len(d.tokens) for d in documents], device=tokens.device)
        pad = torch.arange(tokens.shape[1], device=tokens.device) >= lengths.unsqueeze(1)
        similarity = torch.einsum("qd,ntd->nqt", asked, tokens.float())
        if not similarity.numel():
            return similarity.new_zeros(len(documents))
        best = similarity.masked_fill(pad.unsqueeze(1), -1.0).amax(-1).clamp_min(0)
        return best.square().mean(-1)


def punctuation_ids(tokenizer: Any) -> Tensor:
    """Token ids whose text has no letter or digit, int64, ascending."""
    # Word-start marks of the byte-level and SentencePiece alphabets are letters to Python.
    marks = str.maketrans("", "", "\u0120\u010a\u2581")
    ids = sorted(
        at
        for token, at in tokenizer.get_vocab().items()
        if not any(c.isalnum() for c in token.translate(marks))
    )
    return torch.tensor(ids, dtype=torch.int64)
