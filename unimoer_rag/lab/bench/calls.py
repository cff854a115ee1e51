"""Calls that a client makes: embedding, reranking and search, each by both front doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from unimoer_rag.retrieval import Hit, UnifiedRetriever

__all__ = ["KINDS", "Call", "make_call"]

Scored = list[tuple[str, float]]
KINDS = ("embed", "rerank", "search")

# How far two answers may be apart that differ in nothing but the batches they were computed in.
_TOLERANCE = 1e-4
_N_QUERY_WORDS = 8


@dataclass(frozen=True, slots=True)
class Call:
    """One call, made by blocking or by awaiting; both give the answer in few bytes.

    Attributes:
        kind: one of `KINDS`.
        run: makes it, blocking.
        arun: makes it, awaiting.
    """

    kind: str
    run: Callable[[], Any]
    arun: Callable[[], Awaitable[Any]]

    def same(self, answer: Any, expected: Any) -> bool:
        """Whether two answers to this call agree."""
        if self.kind != "search":
            return bool(np.allclose(answer, expected, atol=_TOLERANCE))
        return _same_hits(answer, expected)


def _found(hits: Sequence[Hit]) -> Scored:
    return [(hit.id, hit.score) for hit in hits]


def _same_hits(found: Scored, expected: Scored) -> bool:
    """The same scores in every place; passages may trade places only where scores are equal."""
    if len(found) != len(expected):
        return False
    scores = dict(expected)
    lowest = min(scores.values(), default=0.0)
    return all(
        abs(score - right) <= _TOLERANCE and abs(scores.get(key, lowest) - score) <= _TOLERANCE
        for (key, score), (_, right) in zip(found, expected, strict=True)
    )


def make_call(retriever: UnifiedRetriever, texts: Sequence[str], choice: Random) -> Call:
    """A call of any kind and of some size.

    Args:
        retriever: searches; its engine embeds and reranks.
        texts: at least 20 passages to embed and rerank; queries are words of them.
        choice: chooses kind, size, texts and words.
    """
    engine, kind = retriever.engine, choice.choice(KINDS)
    words = choice.choice(texts).split()
    query = " ".join(choice.sample(words, min(_N_QUERY_WORDS, len(words))))
    if kind == "embed":
        some = choice.sample(texts, choice.choice((1, 2, 8)))
        return Call(kind, lambda: engine.embed(some), lambda: engine.aembed(some))
    if kind == "rerank":
        some = choice.sample(texts, choice.choice((5, 10, 20)))
        return Call(kind, lambda: engine.rank(query, some), lambda: engine.arank(query, some))

    async def asearch() -> Scored:
        return _found(await retriever.asearch(query, k=5, rerank=20))

    return Call(kind, lambda: _found(retriever.search(query, k=5, rerank=20)), asearch)
