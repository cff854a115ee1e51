"""Reranking of given texts: the engine's ranking, in order, whatever the list holds."""

from __future__ import annotations

import numpy as np
import pytest

from unimoer_rag.engine import SharedModel
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.reranker import Ranked, Reranker, best_first

QUERY = "how long do refunds take?"
TEXTS = [
    "The library opens at nine.",
    "Refunds take five working days.",
    " \n",
    "A kayak for two weighs thirty kilograms.",
    "The library opens at nine.",
]


@pytest.fixture(scope="module")
def shared(minilm_path) -> SharedModel:
    return SharedModel("unimoer-minilm", device="cpu", dtype="float32")


@pytest.fixture
def reranker(shared: SharedModel) -> Reranker:
    return Reranker(shared.engine)


def test_texts_are_ordered_by_the_engines_ranking(shared, reranker: Reranker) -> None:
    visible = [0, 1, 3, 4]
    scores = dict(zip(visible, shared.engine.rank(QUERY, [TEXTS[i] for i in visible]), strict=True))
    ranked = reranker.rank(QUERY, TEXTS)
    assert ranked[0].index == 1
    assert {r.index: r.score for r in ranked if r.index != 2} == pytest.approx(scores)
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)


def test_a_blank_text_is_relevant_to_nothing(reranker: Reranker) -> None:
    assert reranker.rank(QUERY, TEXTS)[-1] == Ranked(2, 0.0)
    assert reranker.rank(QUERY, ["", "  "]) == [Ranked(0, 0.0), Ranked(1, 0.0)]
    assert reranker.rank(QUERY, []) == []


def test_equal_texts_keep_their_order(reranker: Reranker) -> None:
    order = [r.index for r in reranker.rank(QUERY, TEXTS)]
    assert order.index(0) < order.index(4)
    assert best_first(np.array([0.2, 0.5, 0.2, 0.5], dtype=np.float32)) == [1, 3, 0, 2]


async def test_both_front_doors_agree(reranker: Reranker) -> None:
    ranked = reranker.rank(QUERY, TEXTS)
    assert await reranker.arank(QUERY, TEXTS) == ranked
    assert reranker.rank(QUERY, TEXTS, top_n=2) == ranked[:2]
    assert await reranker.arank(QUERY, TEXTS, top_n=99) == ranked


@pytest.mark.parametrize("top_n", [0, -1, True, 1.5])
async def test_a_number_that_keeps_nothing_is_refused(reranker: Reranker, top_n) -> None:
    with pytest.raises(InputError, match=f"top_n is {top_n}: expected how many to keep"):
        reranker.rank(QUERY, TEXTS, top_n=top_n)
    with pytest.raises(InputError, match="top_n"):
        await reranker.arank(QUERY, TEXTS, top_n=top_n)


def test_what_is_no_text_is_refused(reranker: Reranker) -> None:
    with pytest.raises(InputError, match="the query is empty"):
        reranker.rank(" ", TEXTS)
    with pytest.raises(InputError, match="is a NoneType, expected a string"):
        reranker.rank(QUERY, ["fine", None])  # type: ignore[list-item]
