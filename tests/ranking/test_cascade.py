"""Cascade: who is asked about how many documents, and what a budget leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ranking.oracle import DOCUMENTS, QUERY, Oracle, relevance_of

from unimoer_rag.errors import InputError
from unimoer_rag.model import UniMoER
from unimoer_rag.ranking import Cascade, Listwise, LLMReranker, Pairwise, Pointwise
from unimoer_rag.retrieval import Ranks, best_first

RELEVANCE = relevance_of(DOCUMENTS)


class First:
    """Ranks by the documents' numbers, the last one first, with a lead of its own."""

    probabilistic = True

    def __init__(self, lead: float = 0.1) -> None:
        self.lead = lead

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        scores = np.array([DOCUMENTS.index(text) / 1000 for text in documents], np.float32)
        others = np.delete(scores, scores.argmax())
        scores[scores.argmax()] = (others.max() if len(others) else 0) + self.lead
        return scores


def by_relevance(items: Sequence[int]) -> list[int]:
    return sorted(items, key=lambda at: -RELEVANCE[DOCUMENTS[at]])


def test_the_first_n_of_the_first_ranking_are_reranked() -> None:
    oracle = Oracle(RELEVANCE)
    cascade: Ranks = Cascade(First(), LLMReranker(Listwise(), oracle), n=7)
    scores = cascade.rank(QUERY, DOCUMENTS[:30])
    first = list(range(29, -1, -1))
    assert best_first(scores) == [*by_relevance(first[:7]), *first[7:]]
    assert len(set(scores.tolist())) == 30
    assert scores.dtype == np.float32
    assert not cascade.probabilistic
    assert len(oracle.asked) == 1


def test_without_a_first_ranking_documents_come_ranked() -> None:
    cascade = Cascade(None, LLMReranker(Listwise(), Oracle(RELEVANCE)), n=5)
    found = best_first(cascade.rank(QUERY, DOCUMENTS[:9]))
    assert found == [*by_relevance(range(5)), 5, 6, 7, 8]
    assert cascade.rank(QUERY, []).shape == (0,)


@pytest.mark.parametrize(("lead", "asked"), [(0.3, 0), (0.1, 1)])
def test_a_certain_first_ranking_is_left(lead: float, asked: int) -> None:
    oracle = Oracle(RELEVANCE)
    cascade = Cascade(First(lead), LLMReranker(Listwise(), oracle), n=5, lead=0.2)
    scores = cascade.rank(QUERY, DOCUMENTS[:9])
    assert len(oracle.asked) == asked
    assert cascade.n_certain == 1 - asked
    if not asked:
        assert best_first(scores) == list(range(8, -1, -1))
    assert not cascade.calls(9).exact


def test_one_document_leads_over_nothing() -> None:
    oracle = Oracle(RELEVANCE)
    Cascade(First(0.5), LLMReranker(Pointwise(), oracle), lead=0.4).rank(QUERY, DOCUMENTS[:1])
    assert oracle.asked == []


def test_fewer_documents_where_their_prompts_could_be_too_many() -> None:
    oracle = Oracle(RELEVANCE)
    cascade = Cascade(
        None, LLMReranker(Pairwise(sort="all"), oracle), n=20, max_prompts=60
    )  # 8 * 7 = 56, 9 * 8 = 72
    found = best_first(cascade.rank(QUERY, DOCUMENTS[:30]))
    assert len(oracle.asked) == 56
    assert found == [*by_relevance(range(8)), *range(8, 30)]
    assert str(cascade.calls(30)) == "56"
    assert cascade.cost.prompts == 56


def test_a_budget_of_none_leaves_the_first_ranking() -> None:
    oracle = Oracle(RELEVANCE)
    cascade = Cascade(First(), LLMReranker(Pointwise(), oracle), max_prompts=0)
    assert best_first(cascade.rank(QUERY, DOCUMENTS[:4])) == [3, 2, 1, 0]
    assert oracle.asked == []
    assert cascade.calls(4).n == 0


def test_tokens_that_are_spent_leave_the_first_ranking() -> None:
    oracle = Oracle(RELEVANCE)
    reranker = LLMReranker(Listwise(window=4, step=2), oracle)  # 14 tokens a prompt
    cascade = Cascade(First(), reranker, n=10, max_tokens=20)
    scores = cascade.rank(QUERY, DOCUMENTS[:10])
    assert best_first(scores) == list(range(9, -1, -1))
    assert cascade.n_cut == 1
    assert len(oracle.asked) == 2
    # 14 tokens are left for each of the others: those of the next query are its own.
    assert Cascade(First(), reranker, n=4, max_tokens=20).rank(QUERY, DOCUMENTS[:10]).shape == (10,)


@pytest.mark.slow
def test_our_own_reranker_may_be_first(minilm_path: Path) -> None:
    texts = ["Refunds take five days.", "We open at nine.", "The river is long."]
    reranker = LLMReranker(Listwise(), Oracle({text: at / 3 for at, text in enumerate(texts)}))
    first: Ranks = UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype="float32")
    found = best_first(Cascade(first, reranker, n=2).rank("refunds?", texts))
    top = best_first(first.rank("refunds?", texts))
    assert found == [*sorted(top[:2], reverse=True), top[2]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": None, "lead": 0.1}, "no first ranking whose scores it could be of"),
        ({"lead": -1.0}, "lead is -1.0: expected a difference of scores"),
        ({"lead": float("nan")}, "lead is nan"),
        ({"n": 0}, "n is 0"),
        ({"max_prompts": -1}, "prompts is -1"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cascade(
            **{"first": First(), "then": LLMReranker(Pointwise(), Oracle({})), **settings}  # type: ignore[arg-type]
        )  # fmt: skip
