"""UniMoERLLMRerank keeps what a reranker of `ranking` puts first, tells of it, changes nothing."""

from __future__ import annotations

import copy

import pytest
from llama_index.core import QueryBundle
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from llama_index.postprocessor.unimoer_rerank import UniMoERLLMRerank
from pydantic import ValidationError
from ranking.oracle import DOCUMENTS, QUERY, Oracle, relevance_of

from unimoer_rag.errors import InputError
from unimoer_rag.ranking import Cascade, Listwise, LLMReranker

N = 9


def scored(n: int = N) -> list[NodeWithScore]:
    """Nodes whose metadata is in part for embedding models, in part for language models."""
    return [
        NodeWithScore(
            node=TextNode(
                text=text,
                metadata={"shown": at, "hidden": "x"},
                excluded_llm_metadata_keys=["hidden"],
            ),
            score=1.0 / (at + 1),
        )
        for at, text in enumerate(DOCUMENTS[:n])
    ]


def reranker() -> LLMReranker:
    texts = [node.node.get_content(MetadataMode.LLM) for node in scored()]
    return LLMReranker(Listwise(), Oracle(relevance_of(texts)))


def test_nodes_come_in_the_rerankers_order() -> None:
    nodes = scored()
    before = copy.deepcopy(nodes)
    texts = [node.node.get_content(MetadataMode.LLM) for node in nodes]
    assert texts[1] == f"shown: 1\n\n{DOCUMENTS[1]}"
    scores = reranker().rank(QUERY, texts)
    best = UniMoERLLMRerank(reranker(), top_n=3).postprocess_nodes(nodes, query_str=QUERY)
    right = sorted(range(N), key=lambda at: -scores[at])[:3]
    assert [node.node.metadata["shown"] for node in best] == right
    assert [node.score for node in best] == pytest.approx([scores[at] for at in right])
    assert [node.node.metadata["retrieval_score"] for node in best] == [
        nodes[at].score for at in right
    ]
    assert nodes == before


async def test_awaited_it_is_the_same() -> None:
    rerank = UniMoERLLMRerank(Cascade(None, reranker(), n=4), top_n=4)
    blocking = rerank.postprocess_nodes(scored(), query_str=QUERY)
    awaited = await rerank.apostprocess_nodes(scored(), query_str=QUERY)
    shown = [node.node.metadata["shown"] for node in blocking]
    assert sorted(shown) == [0, 1, 2, 3]
    assert [node.node.metadata["shown"] for node in awaited] == shown


def test_a_node_without_text_is_last() -> None:
    nodes = [NodeWithScore(node=TextNode(text=" ")), scored(1)[0]]
    best = UniMoERLLMRerank(reranker()).postprocess_nodes(nodes, query_str=QUERY)
    assert [node.score for node in best] == [1, 0]
    assert UniMoERLLMRerank(reranker()).postprocess_nodes([], query_str=QUERY) == []


def test_reranking_is_told() -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    rerank = UniMoERLLMRerank(reranker(), top_n=2, callback_manager=CallbackManager([handler]))
    best = rerank.postprocess_nodes(scored(), QueryBundle(QUERY))
    [(start, end)] = handler.get_event_pairs(CBEventType.RERANKING)
    assert start.payload is not None
    assert start.payload[EventPayload.MODEL_NAME].startswith("LLMReranker(Listwise(")
    assert end.payload == {EventPayload.NODES: best}


def test_what_cannot_be_used() -> None:
    with pytest.raises(InputError, match="there is no query to rerank for"):
        UniMoERLLMRerank(reranker()).postprocess_nodes(scored(), query_str=" ")
    with pytest.raises(InputError, match="top_n is 0"):
        UniMoERLLMRerank(reranker(), top_n=0)
    with pytest.raises(ValidationError, match="model"):
        UniMoERLLMRerank(reranker(), model="x")
    assert "reranker" not in UniMoERLLMRerank(reranker()).to_dict()
