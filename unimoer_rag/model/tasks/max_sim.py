"""Late interaction as it was published: MaxSim of projected token states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.head import EmbeddingHead, Footing
from unimoer_rag.model.tasks.late import LateScoring, LateState, best_matches
from unimoer_rag.model.tasks.pooling import steps_of

if TYPE_CHECKING:
    from unimoer_rag.model.published import Published
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = ["MaxSimHead", "TokenMeanHead"]


class _Tokens(nn.Module):
    """Token states as a late-interaction model was published to give them; nothing to learn.

    Args:
        published: what the backbone's folder says.
        tokenizer: the backbone's.
    """

    skipped: Tensor

    def __init__(self, published: Published, tokenizer: Any) -> None:
        super().__init__()
        assert published.late is not None
        self.late = published.late
        self.steps = steps_of(published)
        self.register_buffer("skipped", _skipped(self.late.skipped, tokenizer), persistent=False)

    def forward(self, hidden: Tensor, rows: Sequence[Row]) -> list[LateState]:
        """Each row's tokens that are compared, float32, and their normalised mean."""
        projected: Tensor = self.steps(hidden.float())
        return [self._state(*each) for each in zip(projected, rows, strict=True)]

    def _state(self, states: Tensor, row: Row) -> LateState:
        tokens = states[: len(row.ids)]
        if row.side in self.late.skipped_in:
            ids = torch.tensor(row.ids, dtype=torch.int64, device=states.device)
            tokens = tokens[~torch.isin(ids, self.skipped)]
        return LateState(
            tokens=tokens,
            pooled=functional.normalize(tokens.sum(0), dim=-1),
            worded=tokens.new_ones(len(tokens), dtype=torch.bool),
        )


class MaxSimHead(LateScoring):
    """MaxSim as published: each token of the query with its best match in the document, summed.

        logit = sum_t max_j cos(q_t, d_j)

    ColBERT (Khattab & Zaharia 2020, 2004.12832), with the projection, the skipped tokens and the
    expansion of queries that the backbone's folder names. Where that names "meanmaxsim", the logit
    is the mean over the query's tokens.

    A sum of cosines is far beyond where a sigmoid still tells numbers apart, so a score in [0, 1]
    is the mean cosine, and 0 where that is negative.

    Args:
        published: what the backbone's folder says.
        width: hidden size of the backbone.
        causal: the backbone is a decoder.
        tokenizer: the backbone's.
    """

    as_published = True

    def __init__(self, published: Published, *, width: int, causal: bool, tokenizer: Any) -> None:
        super().__init__(causal=causal)
        self.tokens = _Tokens(published, tokenizer)
        self._width = published.dimension(width)

    @classmethod
    def build(cls, task: Task, on: Footing) -> MaxSimHead:
        """That of a task on a late-interaction model.

        Raises:
            InputError: the backbone is none.
        """
        found = _late(task, on.published)
        return cls(found, width=on.width, causal=on.causal, tokenizer=on.tokenizer)

    def token_width(self, width: int) -> int:
        """Size of a token's state: that of the projection."""
        return self._width

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[LateState]:
        """Each row's text, ready to be compared."""
        return self.tokens(hidden, rows)  # type: ignore[no-any-return]

    def compare(self, query: LateState, documents: Sequence[LateState]) -> Tensor:
        """MaxSim float32 `[len(documents)]` of documents with one query."""
        if not documents:
            return query.pooled.new_zeros(0)
        matches = best_matches(query.tokens, documents, least=-torch.inf)
        return self._reduced(matches)

    def together(self, query: LateState, documents: Sequence[LateState], first: int) -> Tensor:
        """MaxSim float32 `[first, len(documents)]` of each of the first documents with each."""
        if not documents:
            return query.pooled.new_zeros(0, 0)
        matches = best_matches(query.tokens, documents, least=-torch.inf)
        return self._reduced(torch.maximum(matches[:first, None], matches))

    def _reduced(self, matches: Tensor) -> Tensor:
        return matches.mean(-1) if self.tokens.late.mean else matches.sum(-1)

    def scores(self, logits: Tensor, outputs: Sequence[LateState]) -> Tensor:
        """The mean over the query's tokens, in [0, 1]."""
        mean = logits if self.tokens.late.mean else logits / len(outputs[0].tokens)
        return mean.clamp(0, 1)


class TokenMeanHead(EmbeddingHead):
    """Embeds with a late-interaction model, which gives no vector of a text, by its tokens' mean.

    The normalised mean of the token states that MaxSim compares. It finds what MaxSim then ranks.

    Args:
        published: what the backbone's folder says.
        causal: the backbone is a decoder.
        tokenizer: the backbone's.
    """

    as_published = True

    def __init__(self, published: Published, *, causal: bool, tokenizer: Any) -> None:
        super().__init__(causal=causal)
        self.tokens = _Tokens(published, tokenizer)

    @classmethod
    def build(cls, task: Task, on: Footing) -> TokenMeanHead:
        """That of a task on a late-interaction model.

        Raises:
            InputError: the backbone is none.
        """
        return cls(_late(task, on.published), causal=on.causal, tokenizer=on.tokenizer)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[Tensor]:
        """Each row's vector, float32 `[dimension]`."""
        return [state.pooled for state in self.tokens(hidden, rows)]


def _late(task: Task, published: Published | None) -> Published:
    if published is None or published.late is None:
        raise InputError(
            f"task {task.name!r} has the head {task.head!r}, which answers as a late-interaction "
            "model was published: expected a backbone whose folder is one of PyLate, ColBERT or "
            "sentence-transformers' MultiVectorEncoder; choose the head 'late' or 'vector' here"
        )
    return published


def _skipped(words: Sequence[str], tokenizer: Any) -> Tensor:
    """The token ids of words, int64; a word that is no token of the vocabulary skips nothing."""
    vocabulary = tokenizer.get_vocab()
    ids = {vocabulary[word] for word in words if word in vocabulary}
    return torch.tensor(sorted(ids), dtype=torch.int64)
