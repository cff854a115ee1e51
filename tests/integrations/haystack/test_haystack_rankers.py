"""The ranker: the order of `UnifiedRetriever`, on Haystack's documents."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document
from haystack_helpers import EXACT, QUERY, close, passages
from haystack_integrations.components.rankers.unimoer import UniMoERRanker

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval import Reranker


def test_documents_come_in_the_rerankers_order(live: UniMoER) -> None:
    documents = passages()
    places = Reranker(Engine.of(live)).rank(QUERY, [d.content or "" for d in documents])
    found = UniMoERRanker(**EXACT).run(QUERY, documents)["documents"]
    assert [d.id for d in found] == [documents[place.index].id for place in places]
    close([d.score for d in found], [place.score for place in places])
    assert found[0].content == "Refunds take 14 days."
    assert all(document.score is None for document in documents)


def test_top_k_and_least_score_are_the_components_or_a_calls() -> None:
    ranker = UniMoERRanker(**EXACT, top_k=3, score_threshold=0.5)
    everything = UniMoERRanker(**EXACT, top_k=None).run(QUERY, passages())["documents"]
    assert len(everything) == 4
    assert [d for d in everything if (d.score or 0) >= 0.5] == ranker.run(QUERY, passages())[
        "documents"
    ]
    assert ranker.run(QUERY, passages(), score_threshold=0)["documents"] == everything[:3]
    assert ranker.run(QUERY, passages(), top_k=1, score_threshold=0)["documents"] == everything[:1]


def test_metadata_are_read_where_they_are_named(live: UniMoER) -> None:
    documents = [
        Document(content="14 days.", meta={"title": title}) for title in ("Tents", "Refunds")
    ]
    found = UniMoERRanker(**EXACT, meta_fields_to_embed=["title"]).run(QUERY, documents)
    expected = live.score(QUERY, ["Tents\n14 days.", "Refunds\n14 days."])
    close([d.score for d in found["documents"]], sorted(expected, reverse=True))
    assert found["documents"][0].meta["title"] == "Refunds"


def test_an_id_that_comes_twice_is_ranked_once_and_a_blank_text_last() -> None:
    twice = [
        Document(id="a", content="Refunds take 14 days.", score=0.1),
        Document(id="a", content="Refunds take 14 days.", score=0.9, meta={"better": True}),
        Document(id="b", content=" "),
    ]
    found = UniMoERRanker(**EXACT).run(QUERY, twice)["documents"]
    assert [(d.id, d.meta) for d in found] == [("a", {"better": True}), ("b", {})]
    assert found[1].score == 0


async def test_awaited_it_does_the_same_and_blocks_nothing(while_held: Callable[..., Any]) -> None:
    ranker = UniMoERRanker(**EXACT)
    ranker.warm_up()
    [found] = await while_held(ranker.run_async(QUERY, passages(), top_k=2))
    assert [d.id for d in found["documents"]] == [
        d.id for d in ranker.run(QUERY, passages(), top_k=2)["documents"]
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"top_k": 0}, "top_k is 0: expected how many to give"),
        ({"top_k": True}, "top_k is True"),
        ({"score_threshold": math.nan}, "score_threshold is nan"),
        ({"score_threshold": "0.5"}, "score_threshold is '0.5'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        UniMoERRanker(**settings)
    with pytest.raises(InputError, match=said):
        UniMoERRanker("no-such-model").run(QUERY, passages(), **settings)


def test_no_documents_are_ranked_and_an_empty_query_is_refused() -> None:
    ranker = UniMoERRanker(**EXACT)
    assert ranker.run(QUERY, []) == {"documents": []}
    with pytest.raises(InputError, match="empty"):
        ranker.run(" ", passages())
