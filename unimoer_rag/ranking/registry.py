"""Ranking methods by name.

| kind | scores | prompts for n documents |
|---|---|---|
| pointwise | P(yes) against P(no) | n |
| graded | expected value over labels 0 to 3 | n |
| query-generation | likelihood of the query, a token | n |
| pairwise | order, or points of all pairs | n(n-1), 2k(n-1), or by heapsort |
| setwise | order | about k (n-1) / (c-1), or by heapsort |
| listwise | order | passes (1 + ceil((n - window) / step)) |
| self-consistency | order | shuffles x those of listwise |
| tournament | share of stages passed | rounds x groups |
| reasoning | P(yes) against P(no) behind a rationale | 2n |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.ranking.answer_cache import AnswerCache
from unimoer_rag.ranking.asking import RankingModel
from unimoer_rag.ranking.graded import Graded
from unimoer_rag.ranking.listwise import Listwise
from unimoer_rag.ranking.method import Method
from unimoer_rag.ranking.pairwise import Pairwise
from unimoer_rag.ranking.pointwise import Pointwise
from unimoer_rag.ranking.query_generation import QueryGeneration
from unimoer_rag.ranking.reasoning import Reasoning
from unimoer_rag.ranking.reranker import LLMReranker
from unimoer_rag.ranking.self_consistency import SelfConsistency
from unimoer_rag.ranking.setwise import Setwise
from unimoer_rag.ranking.tournament import Tournament

__all__ = ["METHODS", "make", "method_named"]

METHODS: Mapping[str, type[Method]] = {
    method.kind: method
    for method in (
        Pointwise,
        Graded,
        QueryGeneration,
        Pairwise,
        Setwise,
        Listwise,
        SelfConsistency,
        Tournament,
        Reasoning,
    )
}
"""Every method, by its kind."""


def method_named(kind: str, **settings: Any) -> Method:
    """A method by its kind and settings.

    Raises:
        InputError: there is no such method or setting, or a value cannot be used.

    >>> method_named("listwise", window=10, step=5)
    Listwise(window=10, step=5, passes=1)
    """
    if kind not in METHODS:
        raise InputError(f"unknown ranking method {kind!r}: expected one of {', '.join(METHODS)}")
    method: Any = METHODS[kind]
    known = [field.name for field in fields(method)]
    for name in settings:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InputError(f"the ranking method {kind!r} has no setting {name!r}: {takes}")
    made: Method = method(**settings)
    return made


def make(
    kind: str,
    model: RankingModel,
    *,
    cache: AnswerCache | None = None,
    max_words: int = 300,
    **settings: Any,
) -> LLMReranker:
    """A reranker by the kind and the settings of its method.

    Args:
        kind: a key of `METHODS`.
        model: who is asked.
        cache: see `LLMReranker`.
        max_words: see `LLMReranker`.
        settings: of the method.

    Raises:
        InputError: see `method_named`; or the model cannot be asked in this way.

    >>> make("setwise", model, c=5).rank(query, documents)               # doctest: +SKIP
    array([0.5, 1. ], dtype=float32)
    """
    return LLMReranker(method_named(kind, **settings), model, cache=cache, max_words=max_words)
