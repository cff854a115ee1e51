"""UniMoERIndexRetriever gives the hits of a UnifiedRetriever as nodes, wherever one is taken."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from dataclasses import replace
from datetime import date
from itertools import chain
from typing import Any

import pytest
from llama_index.core import QueryBundle, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.llms import CompletionResponse, MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import (
    IndexNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    ObjectType,
    TextNode,
)
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank
from llama_index.retrievers.unimoer import UniMoERIndexRetriever
from llama_index.retrievers.unimoer.nodes import to_node
from llama_index_helpers import EXACT, HANDBOOK, Events

from unimoer_rag import UnifiedRetriever
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.types import Document, Hit, Passage

QUESTION = "How long do refunds take?"
SOURCE = "returns-and-refunds.md"


def ids(found: list[Any]) -> list[str]:
    return [each.node_id if isinstance(each, NodeWithScore) else each.id for each in found]


# What it gives


@pytest.mark.slow
async def test_nodes_are_the_hits(handbook: UnifiedRetriever) -> None:
    hits = handbook.search(QUESTION)
    retriever = UniMoERIndexRetriever(handbook)
    for found in (retriever.retrieve(QUESTION), await retriever.aretrieve(QueryBundle(QUESTION))):
        assert ids(found) == ids(hits)
        assert [node.score for node in found] == pytest.approx(
            [hit.score for hit in hits], abs=1e-4
        )
        assert [node.text for node in found] == [hit.text for hit in hits]
    assert hits[0].source == SOURCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"k": 2},
        {"k": 7, "rerank": 0},
        {"k": 3, "rerank": 20},
        {"mode": "sparse", "rerank": 0},
        {"mode": "hybrid", "rerank": 0},
        {"filters": {"source": "shipping.md"}},
        {"filters": {"words": {"gte": 150}, "not": {"letters": "R"}}},
    ],
    ids=str,
)
async def test_settings_are_those_of_a_search(
    handbook: UnifiedRetriever, settings: dict[str, Any]
) -> None:
    retriever = UniMoERIndexRetriever(handbook, **settings)
    hits = handbook.search(QUESTION, **settings)
    assert (
        ids(retriever.retrieve(QUESTION)) == ids(await retriever.aretrieve(QUESTION)) == ids(hits)
    )
    assert ids(handbook.as_llama_index(**settings).retrieve(QUESTION)) == ids(hits)


@pytest.mark.slow
async def test_many_at_once(handbook: UnifiedRetriever) -> None:
    retriever = UniMoERIndexRetriever(handbook)
    questions = [QUESTION, "How do I wash a down jacket?", "When does the store close?"] * 3
    found = await asyncio.gather(*(retriever.aretrieve(question) for question in questions))
    assert [ids(nodes) for nodes in found] == [ids(retriever.retrieve(each)) for each in questions]


# Nodes


def test_a_node_has_all_of_its_passage(handbook: UnifiedRetriever) -> None:
    [hit] = handbook.search(QUESTION, k=1, rerank=0)
    [found] = UniMoERIndexRetriever(handbook, k=1, rerank=0).retrieve(QUESTION)
    node: Any = found.node
    assert node.node_id == hit.id
    _, _, text = (HANDBOOK / SOURCE).read_text(encoding="utf-8").partition("\n\n")
    assert text[node.start_char_idx : node.end_char_idx] == node.text
    assert node.metadata == {
        "words": len(text.split()),
        "letters": ["R", "s"],
        "source": SOURCE,
        "title": "Returns and refunds",
    }
    source = node.relationships[NodeRelationship.SOURCE]
    assert (source.node_id, source.node_type) == (SOURCE, ObjectType.DOCUMENT.value)
    assert node.ref_doc_id == SOURCE
    assert found.score == pytest.approx(hit.dense)


def test_models_are_shown_what_is_meant_for_them() -> None:
    passage = Passage("Text.", "a.md", "Title", 5, 10, {"year": 2020, "tag": ["x"]})
    for hit in (Hit(passage, dense=0.5), Hit(passage, dense=0.5, rerank=0.9)):
        node = to_node(hit).node
        assert node.get_content(MetadataMode.EMBED) == "title: Title\n\nText."
        shown = "year: 2020\ntag: ['x']\nsource: a.md\ntitle: Title\n\nText."
        assert node.get_content(MetadataMode.LLM) == shown


def test_a_page_is_told_where_there_is_one() -> None:
    passage = Passage("Text.", "a.pdf", page=7)
    assert to_node(Hit(passage, dense=0.5)).metadata["page"] == 7
    own = replace(passage, metadata={"page": "vii"})
    assert to_node(Hit(own, dense=0.5)).metadata["page"] == "vii"
    assert "page" not in to_node(Hit(replace(passage, page=None), dense=0.5)).metadata


def test_only_the_passages_own_source_and_title_count() -> None:
    passage = Passage("Text.", "a.md", metadata={"source": "b.md", "title": "Other"})
    node = to_node(Hit(passage, dense=0.5)).node
    assert node.metadata == {"source": "a.md", "title": "Other"}
    assert node.get_content(MetadataMode.EMBED) == "Text."


@pytest.mark.parametrize(
    ("scores", "score", "earlier"),
    [
        ({"dense": 0.5}, 0.5, None),
        ({"sparse": 3.0}, 3.0, None),
        ({"dense": 0.5, "sparse": 3.0, "fused": 0.1}, 0.1, None),
        ({"dense": 0.5, "rerank": 0.9}, 0.9, 0.5),
        ({"sparse": 3.0, "rerank": 0.9}, 0.9, 3.0),
        ({"dense": 0.5, "sparse": 3.0, "fused": 0.1, "rerank": 0.9}, 0.9, 0.1),
    ],
    ids=str,
)
def test_the_first_stages_score_is_kept(
    scores: dict[str, float], score: float, earlier: float | None
) -> None:
    found = to_node(Hit(Passage("Text.", "a.md"), **scores))
    assert found.score == score
    assert found.metadata.get("retrieval_score") == earlier


# In the framework


@pytest.mark.slow
async def test_a_query_engine_with_reranking(
    handbook: UnifiedRetriever, events: Events, manager: CallbackManager, debug: LlamaDebugHandler
) -> None:
    engine = RetrieverQueryEngine.from_args(
        handbook.as_llama_index(k=8, rerank=0, callback_manager=manager),
        llm=MockLLM(),
        node_postprocessors=[UniMoERRerank(top_n=2, **EXACT)],
    )
    for response in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert response.source_nodes[0].metadata["source"] == SOURCE
        assert len(response.source_nodes) == 2
        # The model that answers reads the text and where it is from, and no scores.
        assert "Refunds are paid within 14 days" in str(response)
        assert f"source: {SOURCE}" in str(response)
        assert "retrieval_score" not in str(response)
    first, second = events.of(RetrievalEndEvent)
    assert len(first.nodes) == len(second.nodes) == 8
    assert len(debug.get_event_pairs(CBEventType.RETRIEVE)) == 2


def test_reranked_outside_as_inside(handbook: UnifiedRetriever) -> None:
    """The same model reads nearly the same text, so that the best is the best."""
    inside = UniMoERIndexRetriever(handbook, k=1, rerank=10).retrieve(QUESTION)
    outside = UniMoERRerank(top_n=1, **EXACT).postprocess_nodes(
        UniMoERIndexRetriever(handbook, k=10, rerank=0).retrieve(QUESTION), query_str=QUESTION
    )
    assert ids(inside) == ids(outside)
    assert inside[0].metadata["retrieval_score"] == outside[0].metadata["retrieval_score"]


async def test_recursive_retrieval_enters_it(
    handbook: UnifiedRetriever, embedding: UniMoEREmbedding
) -> None:
    inner = handbook.as_llama_index(k=2)
    pointers = [
        IndexNode(text="The handbook of a shop: refunds and shipping", index_id="a", obj=inner),
        IndexNode(text="The history of the Roman empire", index_id="b"),
    ]
    outer = VectorStoreIndex(objects=pointers, embed_model=embedding).as_retriever(
        similarity_top_k=1
    )
    for found in (outer.retrieve(QUESTION), await outer.aretrieve(QUESTION)):
        assert ids(found) == ids(inner.retrieve(QUESTION))


def test_fusion_with_another_retriever(handbook: UnifiedRetriever) -> None:
    fused = QueryFusionRetriever(
        [handbook.as_llama_index(mode=mode, rerank=0) for mode in ("dense", "sparse")],
        llm=MockLLM(),
        num_queries=1,
        similarity_top_k=3,
        mode="reciprocal_rerank",
        use_async=False,
    )
    assert SOURCE in {node.metadata["source"] for node in fused.retrieve(QUESTION)}


class Asking(MockLLM):
    """Answers that these are the queries to look for."""

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="when is money paid back?\nreturning goods")


@pytest.mark.parametrize("mode", ["reciprocal_rerank", "relative_score", "simple"])
def test_a_passage_of_several_queries_is_one_node(handbook: UnifiedRetriever, mode: Any) -> None:
    fused = QueryFusionRetriever(
        [handbook.as_llama_index(k=5, rerank=10)],
        llm=Asking(),
        num_queries=3,
        similarity_top_k=15,
        mode=mode,
        use_async=False,
    )
    queries = [QUESTION, "when is money paid back?", "returning goods"]
    found = [handbook.as_llama_index(k=5, rerank=10).retrieve(query) for query in queries]
    times = Counter(chain.from_iterable(map(ids, found)))
    assert max(times.values()) > 1
    nodes = fused.retrieve(QUESTION)
    assert sorted(ids(nodes)) == sorted(times)
    if mode == "reciprocal_rerank":  # a sum over the queries that found it
        expected = {
            id_: sum(1 / (60 + ids(each).index(id_)) for each in found if id_ in ids(each))
            for id_ in times
        }
        assert {node.node_id: node.score for node in nodes} == pytest.approx(expected)


def test_a_nodes_hash_is_that_of_its_passage() -> None:
    passage = Passage("Text.", "a.md", metadata={"year": 2020})
    plain, reranked, other = (
        to_node(Hit(passage, dense=0.5)).node,
        to_node(Hit(passage, dense=0.5, rerank=0.9)).node,
        to_node(Hit(replace(passage, metadata={"year": 2021}), dense=0.5, rerank=0.9)).node,
    )
    assert plain.hash == reranked.hash != other.hash
    assert plain.hash == TextNode(text="Text.", metadata=plain.metadata).hash
    again = doc_to_json(reranked)
    assert type(json_to_doc(again)) is TextNode
    assert json_to_doc(again).metadata == reranked.metadata
    assert pickle.loads(pickle.dumps(reranked)) == reranked


# What it refuses


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"rerank": -1}, "rerank is -1"),
        ({"mode": "vector"}, "unknown mode 'vector'"),
        ({"filters": {"year": None}}, "'year' has the value None"),
        ({"filters": ["a.md"]}, "expected a mapping"),
        (
            {
                "filters": MetadataFilters(
                    filters=[MetadataFilter(key="a", value="b", operator=FilterOperator.IN)]
                )
            },
            "'a' in 'b' cannot be used",
        ),
    ],
    ids=str,
)
def test_bad_settings_are_refused_when_it_is_made(
    handbook: UnifiedRetriever, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        UniMoERIndexRetriever(handbook, **settings)
    with pytest.raises(InputError, match=message):
        handbook.as_llama_index(**settings)


def test_what_is_no_retriever_is_refused(handbook: UnifiedRetriever) -> None:
    with pytest.raises(InputError, match="retriever is a str: expected a UnifiedRetriever"):
        UniMoERIndexRetriever("handbook.index")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="top_k"):
        handbook.as_llama_index(top_k=3)


def test_the_retriever_itself_takes_nodes(handbook: UnifiedRetriever) -> None:
    node = TextNode(text="A kayak.", metadata={"file_name": "kayak.md", "day": date(2024, 2, 29)})
    scored, whole = NodeWithScore(node=node), LlamaDocument(text="A canoe.")
    with UnifiedRetriever(handbook.model) as retriever:
        assert retriever.add([node, scored, whole]).added == 2
        [hit] = retriever.search("boat", filters={"day": "2024-02-29"})
        assert hit.source == "kayak.md"


async def test_an_empty_query_is_refused(handbook: UnifiedRetriever) -> None:
    retriever = handbook.as_llama_index()
    with pytest.raises(InputError, match="the query is empty"):
        retriever.retrieve("")
    with pytest.raises(InputError, match="the query is empty"):
        await retriever.aretrieve(" ")


def test_settings_left_out_follow_the_retrievers(handbook: UnifiedRetriever) -> None:
    with UnifiedRetriever(handbook.model, k=1, rerank=0) as retriever:
        retriever.add([Document("one", "1"), Document("two", "2"), Document("three", "3")])
        made = retriever.as_llama_index()
        assert len(made.retrieve("number")) == 1
        retriever.k = 3
        assert len(made.retrieve("number")) == 3
