"""Which token of a query met which token of a text, in late interaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks.jobs import Job
from unimoer_rag.model.tasks.late import LateState
from unimoer_rag.model.tasks.state_jobs import late_head
from unimoer_rag.model.unimoer import UniMoER

__all__ = ["Explanation", "Match", "Token", "explaining"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text.

    Attributes:
        text: as the tokenizer writes it.
        start: its first character in the text; None where what the model read is not the text
            itself, as with a prompt before it.
        end: behind its last character.
    """

    text: str
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """A token of the query with the token of the text that is most like it (MaxSim).

    Attributes:
        query: which token of the query.
        text: which token of the text.
        cosine: of their states.
    """

    query: int
    text: int
    cosine: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a text's relevance for a query came about.

    Attributes:
        score: the relevance in [0, 1], without feedback from other texts.
        cosine: of the two texts' vectors.
        query: tokens of the query.
        text: tokens of the text.
        matches: of the tokens that the query asks with, punctuation left out.
        rows: what the model read, the query's and the text's.
    """

    score: float
    cosine: float
    query: list[Token]
    text: list[Token]
    matches: list[Match]
    rows: list[Row]


def explaining(model: UniMoER, query: str, text: str) -> Job[Explanation]:
    """The matches of late interaction between a query and a text.

    Raises:
        InputError: a text is empty, or the model reranks by reading both together.
    """
    task, head = late_head(model)
    rows = model.rows.compared(query, [text], task)

    def finish(outputs: list[Any]) -> Explanation:
        with torch.inference_mode():
            logits = head.logits(outputs)
            return Explanation(
                score=float(head.scores(logits, outputs)[0]),
                cosine=float(outputs[0].pooled @ outputs[1].pooled),
                query=_tokens(model, rows[0], query),
                text=_tokens(model, rows[1], text),
                matches=_matches(*outputs),
                rows=rows,
            )

    return Job(rows, finish)


def _matches(query: LateState, text: LateState) -> list[Match]:
    if not len(text.tokens) or not len(query.tokens):
        return []
    cosines = query.tokens.float() @ text.tokens.float().T
    best = cosines.max(dim=1)
    asks = query.worded if bool(query.worded.any()) else torch.ones_like(query.worded)
    return [
        Match(at, int(best.indices[at]), round(float(best.values[at]), 4))
        for at in asks.nonzero().flatten().tolist()
    ]


def _tokens(model: UniMoER, row: Row, text: str) -> list[Token]:
    start, end = row.first
    ids = row.ids[start:end]
    names = model.tokenizer.convert_ids_to_tokens(ids)
    spans = _spans(model, ids, text)
    return [Token(name, *span) for name, span in zip(names, spans, strict=True)]


def _spans(
    model: UniMoER, ids: Sequence[int], text: str
) -> list[tuple[int, int]] | list[tuple[None, None]]:
    whole = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if list(whole["input_ids"][: len(ids)]) != list(ids):
        return [(None, None)] * len(ids)
    return [(int(a), int(b)) for a, b in whole["offset_mapping"][: len(ids)]]
