from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.fusion import reciprocal_rank_fusion

IDS = st.lists(st.sampled_from("abcdefghij"), unique=True)
RANKINGS = st.lists(IDS.map(lambda ids: [(key, 0.5) for key in ids]), max_size=4)


def test_by_hand() -> None:
    fused = reciprocal_rank_fusion([[("a", 9.0), ("b", 8.0)], [("b", 0.2), ("c", 0.1)]])
    assert [key for key, _ in fused] == ["b", "a", "c"]
    assert dict(fused) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})
    assert reciprocal_rank_fusion([]) == reciprocal_rank_fusion([[], []]) == []


def test_ties_come_by_best_rank_then_id() -> None:
    assert [key for key, _ in reciprocal_rank_fusion([[("z", 1.0)], [("a", 1.0)]])] == ["a", "z"]
    # With k = 0, "c" gets 1/2 at once and "d" gets 1/4 twice.
    three = [("x", 1.0), ("c", 1.0), ("y", 1.0), ("d", 1.0)]
    four = [("p", 1.0), ("q", 1.0), ("r", 1.0), ("d", 1.0)]
    order = [key for key, _ in reciprocal_rank_fusion([three, four], k=0)]
    assert order.index("c") < order.index("d")


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="-1"):
        reciprocal_rank_fusion([], k=-1)
    with pytest.raises(InputError, match="ranking 1 holds an id twice"):
        reciprocal_rank_fusion([[("a", 1.0)], [("b", 1.0), ("b", 0.5)]])


@pytest.mark.slow
@given(RANKINGS, st.integers(0, 100), st.randoms())
def test_order_of_rankings_and_scores_in_them_do_not_matter(rankings, k, random) -> None:
    shuffled = [[(key, random.random()) for key, _ in ranking] for ranking in rankings]
    random.shuffle(shuffled)
    assert reciprocal_rank_fusion(shuffled, k=k) == reciprocal_rank_fusion(rankings, k=k)


@given(RANKINGS)
def test_every_id_once_best_first(rankings) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert {key for key, _ in fused} == {key for ranking in rankings for key, _ in ranking}
    assert len({key for key, _ in fused}) == len(fused)
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True)


@given(IDS)
def test_one_ranking_stays_as_it_is(ids) -> None:
    fused = reciprocal_rank_fusion([[(key, 1.0) for key in ids]] * 3)
    assert [key for key, _ in fused] == ids


def test_the_first_of_many_are_those_of_few() -> None:
    random = Random(0)
    ids = [f"{n:03}" for n in range(150)]
    one, two = random.sample(ids, 120), random.sample(ids, 150)

    def fused(limit: int) -> list[tuple[str, float]]:
        rankings = [[(key, 0.0) for key in ranking[: max(limit, 40)]] for ranking in (one, two)]
        return reciprocal_rank_fusion(rankings, depth=40)[:limit]

    longest = fused(150)
    assert len(longest) == 150
    for limit in range(1, 150):
        assert fused(limit) == longest[:limit]
    with pytest.raises(InputError, match="depth of reciprocal-rank fusion is 0"):
        reciprocal_rank_fusion([], depth=0)
