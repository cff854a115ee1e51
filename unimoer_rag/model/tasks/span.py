"""Reading: the span of a passage that answers a question, or that none does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.model.tasks.head import Footing, ReadingHead, check_numbers

if TYPE_CHECKING:
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = [
    "MAX_ANSWER_TOKENS",
    "Reading",
    "SpanHead",
    "SpanScores",
    "decode_span",
    "span_logits",
]

# Longest answer the span head considers, in tokens.
MAX_ANSWER_TOKENS = 30
# Relevance comes as a float32 probability: nothing nearer to 0 and 1 means more.
_CERTAIN = 1e-7
_GUESS = 0.05  # most that a reader which has learnt nothing is sure of


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


@dataclass(frozen=True, slots=True)
class Reading:
    """The best answer span of one passage.

    Where the passage has no token left (a question as long as the row, a text of zero-width
    characters), it is the empty span with `no_answer` 1 and a margin of minus infinity.

    Attributes:
        text: the answer, exactly `passage[start:end]`, without whitespace around it.
        start: character offset in the passage.
        end: offset behind the last character.
        probability: of this span, among all spans and "no answer".
        no_answer: probability that the passage does not answer.
        margin: logit of the span minus that of "no answer"; compares passages.
        trained: whether the task has learnt to read; what it says means nothing else.
    """

    text: str
    start: int
    end: int
    probability: float
    no_answer: float
    margin: float
    trained: bool = True

    @property
    def doubt(self) -> float:
        """Probability of "no answer" against this span alone, other spans left out."""
        return self.no_answer / (self.no_answer + self.probability)

    def confidence(self, relevance: float | None = None) -> float:
        """Probability that this answers the question, given how relevant the passage is.

        Reader and reranker are taken for independent witnesses, whose odds multiply (Bayes' rule):
        `sigmoid(margin + logit(relevance))`.
        Of a task that has not been trained it is a guess, a twentieth of that at most: less than
        what an answer takes.

        Args:
            relevance: probability in [0, 1] from `score` or `rank`; None leaves it to the reader.
        """
        evidence = self.margin
        if relevance is not None:
            kept = min(max(relevance, _CERTAIN), 1 - _CERTAIN)
            evidence += math.log(kept / (1 - kept))
        sure = 0.5 * (1 + math.tanh(evidence / 2))  # the sigmoid, without overflow
        return sure if self.trained else _GUESS * sure


class SpanHead(ReadingHead):
    """Start, end and no-answer logits over a question and passage encoded together.

    The no-answer logit is read at the first token, as BERT does for SQuAD 2 (Devlin et al. 2019,
    section 4.3), and at the last one on decoders.
    """

    settings = ("document_first",)
    joint = learnt = by_token = True

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__(causal=causal)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, 2)
        self.null = nn.Linear(width, 1)

    @classmethod
    def build(cls, task: Task, on: Footing) -> SpanHead:
        """That of a task, as it is before training."""
        return cls(on.width, causal=on.causal)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[SpanScores]:
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

    def reading(self, output: SpanScores, row: Row, passage: str) -> Reading:
        """The most probable span of a passage."""
        return decode_span(output, row, passage)


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


def decode_span(scores: SpanScores, row: Row, passage: str) -> Reading:
    """The most probable span, its probability normalised over all spans and "no answer".

    Args:
        scores: the span head's, of the row's document tokens.
        row: the pair; its offsets lead from tokens to characters.
        passage: the document's text.
    """
    if not row.offsets:
        return Reading("", 0, 0, probability=0.0, no_answer=1.0, margin=-math.inf)
    with torch.inference_mode():
        joint = span_logits(scores)
        total = torch.logaddexp(joint.flatten().logsumexp(0), scores.null)
        flat = int(joint.argmax())
        i, j = divmod(flat, joint.shape[1])
        best = joint[i, j]
        check_numbers(torch.stack([best, total]).float().cpu().numpy(), "answers")
        start, end = _trim(passage, row.offsets[i][0], row.offsets[j][1])
        return Reading(
            text=passage[start:end],
            start=start,
            end=end,
            probability=float((best - total).exp()),
            no_answer=float((scores.null - total).exp()),
            margin=float(best - scores.null),
        )


def _trim(passage: str, start: int, end: int) -> tuple[int, int]:
    """The span without whitespace at its ends: byte-level tokens begin with their space."""
    text = passage[start:end]
    start += len(text) - len(text.lstrip())
    return start, start + len(text.strip())
