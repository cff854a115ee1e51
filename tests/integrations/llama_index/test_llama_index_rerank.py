"""UniMoERRerank orders any nodes as the retriever orders hits, tells of it, and changes nothing."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import QueryBundle
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeWithScore,
    TextNode,
)
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank
from llama_index_helpers import EXACT, Events, handbook_nodes
from pydantic import ValidationError

from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.retrieval.reranker import Reranker

QUERY = "how long do refunds take?"
TEXTS = ["The library opens at nine.", "Refunds take five days.", "A kayak weighs thirty kilos."]

SOME = {
    "about-fernway.md",
    "boot-fitting.md",
    "down-care.md",
    "gift-cards.md",
    "returns-and-refunds.md",
    "shipping.md",
    "store-hours.md",
    "waterproofing.md",
}


def scored(texts: list[str] = TEXTS) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=text, metadata={"page": at}), score=1.0 / (at + 1))
        for at, text in enumerate(texts)
    ]


def texts_of(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node.get_content(MetadataMode.NONE) for node in nodes]


# What it gives


def test_scores_are_the_rerankers(rerank: UniMoERRerank) -> None:
    nodes = scored()
    read = [node.get_content(MetadataMode.EMBED) for node in nodes]
    assert read[0] == "page: 0\n\nThe library opens at nine."
    expected = Reranker(rerank._shared.engine).rank(QUERY, read)
    best = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert texts_of(best) == [TEXTS[place.index] for place in expected]
    assert [node.score for node in best] == pytest.approx(
        [place.score for place in expected], abs=1e-5
    )
    assert texts_of(best)[0] == TEXTS[1]
    assert best[0].score > 0.5 > best[1].score >= best[2].score  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "file"),
    [
        ("How long do refunds take?", "returns-and-refunds.md"),
        ("How do I wash a down jacket?", "down-care.md"),
        ("When does the store close on Sundays?", "store-hours.md"),
    ],
)
def test_the_handbook_answers_first(rerank: UniMoERRerank, question: str, file: str) -> None:
    nodes = [NodeWithScore(node=node) for node in handbook_nodes() if node.metadata["file"] in SOME]
    assert nodes[0].metadata["file"] != file
    best = rerank.postprocess_nodes(nodes, query_str=question)
    assert best[0].metadata["file"] == file
    assert len(best) == 3


async def test_async_gives_the_same(rerank: UniMoERRerank) -> None:
    best = rerank.postprocess_nodes(scored(), query_str=QUERY)
    many = await asyncio.gather(
        *(rerank.apostprocess_nodes(scored(), QueryBundle(QUERY)) for _ in range(5))
    )
    for found in many:
        assert texts_of(found) == texts_of(best)
        assert [node.score for node in found] == pytest.approx(
            [node.score for node in best], abs=1e-5
        )


async def test_waiting_takes_no_thread(
    rerank: UniMoERRerank, while_held: Callable[..., Any]
) -> None:
    calls = [rerank.apostprocess_nodes(scored(), query_str=query) for query in (QUERY, "a boat")]
    first, second = await while_held(*calls)
    assert texts_of(first)[0] == TEXTS[1]
    assert texts_of(second)[0] == TEXTS[2]


def test_top_n_and_ties_and_blank_nodes(rerank: UniMoERRerank) -> None:
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("", TEXTS[1], " ", TEXTS[1])]
    two = UniMoERRerank(top_n=2, **EXACT).postprocess_nodes(nodes, query_str=QUERY)
    assert [node.node_id for node in two] == [nodes[1].node_id, nodes[3].node_id]
    every = UniMoERRerank(top_n=9, **EXACT).postprocess_nodes(nodes, query_str=QUERY)
    assert [node.score for node in every[2:]] == [0.0, 0.0]
    assert [node.node_id for node in every[2:]] == [nodes[0].node_id, nodes[2].node_id]
    assert rerank.postprocess_nodes([], query_str=QUERY) == []


# Nodes


def test_the_nodes_given_stay_as_they_are(rerank: UniMoERRerank) -> None:
    nodes = scored()
    before = [node.model_dump() for node in nodes]
    best = rerank.postprocess_nodes(nodes, query_str=QUERY)
    for node in best:
        node.node.metadata["mine"] = True
        node.node.excluded_llm_metadata_keys.append("mine")
        node.node.excluded_embed_metadata_keys.append("mine")
    assert [node.model_dump() for node in nodes] == before


def test_the_earlier_score_is_kept_where_no_model_reads_it(rerank: UniMoERRerank) -> None:
    nodes = scored()
    once = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert once[0].metadata["retrieval_score"] == nodes[1].score
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert once[0].node.get_content(mode) == nodes[1].node.get_content(mode)
    twice = rerank.postprocess_nodes(once, query_str=QUERY)
    assert [node.score for node in twice] == pytest.approx([node.score for node in once], abs=1e-5)
    assert twice[0].metadata["retrieval_score"] == once[0].score
    assert twice[0].node.excluded_llm_metadata_keys == ["retrieval_score"]


def test_a_node_without_a_score_gets_one(rerank: UniMoERRerank) -> None:
    [best] = rerank.postprocess_nodes([NodeWithScore(node=TextNode(text=TEXTS[1]))], None, QUERY)
    assert best.score is not None
    assert "retrieval_score" not in best.metadata


@pytest.mark.parametrize(
    "node",
    [
        ImageNode(text=TEXTS[1], image_path="refund.png", image_url="https://x.example/a.png"),
        IndexNode(text=TEXTS[1], index_id="refunds", obj=TextNode(text="more")),
        Document(text=TEXTS[1], id_="document"),
    ],
    ids=lambda node: type(node).__name__,
)
def test_every_kind_of_node_stays_what_it_is(rerank: UniMoERRerank, node: BaseNode) -> None:
    nodes = [*scored(), NodeWithScore(node=node, score=0.25)]
    best = UniMoERRerank(top_n=4, **EXACT).postprocess_nodes(nodes, query_str=QUERY)
    [found] = [each.node for each in best if each.node_id == node.node_id]
    assert type(found) is type(node)
    assert found is not node
    added = {"metadata", "excluded_embed_metadata_keys", "excluded_llm_metadata_keys"}
    assert found.model_dump(exclude=added) == node.model_dump(exclude=added)
    assert found.metadata == {"retrieval_score": 0.25}
    assert node.metadata == {}


def test_what_an_index_node_points_to_is_not_copied(rerank: UniMoERRerank) -> None:
    obj = object()
    node = NodeWithScore(node=IndexNode(text=TEXTS[1], index_id="engine", obj=obj), score=1.0)
    [best] = rerank.postprocess_nodes([node], query_str=QUERY)
    assert best.node.obj is obj  # type: ignore[attr-defined]


# What it tells


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_events_and_callbacks_tell_of_it(
    rerank: UniMoERRerank,
    events: Events,
    manager: CallbackManager,
    debug: LlamaDebugHandler,
    way: str,
) -> None:
    told = UniMoERRerank(top_n=2, callback_manager=manager, **EXACT)
    nodes, query = scored(), QueryBundle(QUERY)
    if way == "sync":
        best = told.postprocess_nodes(nodes, query)
    else:
        best = await told.apostprocess_nodes(nodes, query)
    start, end = events.of(ReRankStartEvent, ReRankEndEvent)
    assert (start.query, start.nodes, start.top_n) == (query, nodes, 2)
    assert start.model_name == "unimoer-minilm"
    assert end.nodes == best
    assert start.span_id == end.span_id is not None
    [(begun, ended)] = debug.get_event_pairs(CBEventType.RERANKING)
    assert begun.payload == {
        EventPayload.NODES: nodes,
        EventPayload.MODEL_NAME: "unimoer-minilm",
        EventPayload.QUERY_STR: QUERY,
        EventPayload.TOP_K: 2,
    }
    assert ended.payload == {EventPayload.NODES: best}


@pytest.mark.parametrize("query", [None, QueryBundle(""), QueryBundle(" ")])
async def test_without_a_query_nothing_begins(
    events: Events, manager: CallbackManager, debug: LlamaDebugHandler, query: Any, rerank: Any
) -> None:
    told = UniMoERRerank(callback_manager=manager, **EXACT)
    with pytest.raises(InputError, match="give query_bundle or query_str"):
        told.postprocess_nodes(scored(), query)
    with pytest.raises(InputError, match="give query_bundle or query_str"):
        await told.apostprocess_nodes([], query)
    assert not events.of(ReRankStartEvent, ReRankEndEvent)
    assert not debug.get_event_pairs(CBEventType.RERANKING)


# Copies and settings


def test_a_copy_is_its_name(rerank: UniMoERRerank) -> None:
    data = pickle.dumps(rerank)
    assert len(data) < 10_000
    for copied in (pickle.loads(data), copy.deepcopy(rerank)):
        assert copied._shared.model is rerank._shared.model
        assert copied.to_dict() == rerank.to_dict()
        best = copied.postprocess_nodes(scored(), query_str=QUERY)
        assert texts_of(best) == texts_of(rerank.postprocess_nodes(scored(), query_str=QUERY))


def test_a_dictionary_comes_back(rerank: UniMoERRerank) -> None:
    told = rerank.to_dict()
    assert told == {
        "model": "unimoer-minilm",
        "top_n": 3,
        "revision": None,
        **EXACT,
        "class_name": "UniMoERRerank",
    }
    assert UniMoERRerank.from_dict(told).to_dict() == told
    assert UniMoERRerank.from_json(rerank.to_json()).to_dict() == told


@pytest.mark.parametrize("top_n", [0, -1, True, 2.5, "3"])
def test_top_n_is_a_number_of_nodes(top_n: Any) -> None:
    with pytest.raises(InputError, match="expected how many to keep"):
        UniMoERRerank(top_n=top_n)


def test_what_cannot_be_used_is_refused_when_it_is_made(rerank: UniMoERRerank) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint 'unimoer-maxilm'"):
        UniMoERRerank("unimoer-maxilm")
    with pytest.raises(ValidationError, match="keep_retrieval_score"):
        UniMoERRerank(keep_retrieval_score=True)
    with pytest.raises(ValidationError, match="top_n"):
        UniMoERRerank(top_n=None)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="frozen"):
        rerank.model = "minilm"
    with pytest.raises(InputError, match="top_n is 0"):
        rerank.model_copy(update={"top_n": 0}).postprocess_nodes(scored(), query_str=QUERY)
