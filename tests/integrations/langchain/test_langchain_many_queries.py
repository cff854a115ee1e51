"""One passage found several times is one document: where LangChain joins several searches."""

# Without `from __future__ import annotations`: LangGraph reads those of functions inside a test.

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MultiQueryRetriever,
)
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumps, loads
from langchain_core.retrievers import BaseRetriever
from langchain_helpers import EXACT, QUERY, scores, sources
from langchain_unimoer import UniMoERCompressor, UniMoERRetriever
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from unimoer_rag.retrieval.retriever import UnifiedRetriever

ALL = {"refunds.md", "library.md", "kayak.md", "paris.md"}
QUERIES = [QUERY, "opening hours", "how heavy are boats?"]


@pytest.fixture
def retriever(filled: UnifiedRetriever) -> UniMoERRetriever:
    return filled.as_langchain(k=4)


def for_many_queries(retriever: BaseRetriever) -> MultiQueryRetriever:
    model = FakeListChatModel(responses=["\n".join(QUERIES)])
    return MultiQueryRetriever.from_llm(retriever=retriever, llm=model)


async def test_many_queries_find_a_document_once(retriever: UniMoERRetriever) -> None:
    many = for_many_queries(retriever)
    for found in (many.invoke(QUERY), await many.ainvoke(QUERY)):
        assert set(sources(found)) == ALL
        assert len(found) == 4
        assert all({"relevance_score", "retrieval_score"} == set(scores(each)) for each in found)


def test_many_queries_over_a_compressor(filled: UnifiedRetriever) -> None:
    compressed = ContextualCompressionRetriever(
        base_retriever=filled.as_langchain(k=4, rerank=0),
        base_compressor=UniMoERCompressor(**EXACT, top_n=4),
    )
    found = for_many_queries(compressed).invoke(QUERY)
    assert set(sources(found)) == ALL
    assert len(found) == 4


def test_a_compressor_behind_many_queries(retriever: UniMoERRetriever) -> None:
    ranked = ContextualCompressionRetriever(
        base_retriever=for_many_queries(retriever),
        base_compressor=UniMoERCompressor(**EXACT, top_n=2),
    ).invoke(QUERY)
    assert sources(ranked)[0] == "refunds.md"
    assert len(ranked) == 2


async def test_an_ensemble_fuses_its_retrievers(filled: UnifiedRetriever) -> None:
    parts: list[BaseRetriever] = [
        filled.as_langchain(k=4, mode="dense"),
        filled.as_langchain(k=4, mode="sparse", rerank=0),
    ]
    ensemble = EnsembleRetriever(retrievers=parts, weights=[0.5, 0.5])
    by_source = EnsembleRetriever(retrievers=parts, weights=[0.5, 0.5], id_key="source")
    for found in (ensemble.invoke(QUERY), await ensemble.ainvoke(QUERY), by_source.invoke(QUERY)):
        assert sources(found)[0] == "refunds.md"
        assert set(sources(found)) == ALL
        assert len(found) == 4


async def test_a_graph_keeps_documents_in_its_checkpoints(retriever: UniMoERRetriever) -> None:
    class State(TypedDict, total=False):
        question: str
        documents: list[Document]

    async def retrieve(state: State) -> State:
        return {"documents": await retriever.ainvoke(state["question"])}

    graph = StateGraph(State).add_node("retrieve", retrieve, input_schema=State)
    graph = graph.add_edge(START, "retrieve").add_edge("retrieve", END)
    app = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await app.ainvoke({"question": QUERY}, config)
    kept = (await app.aget_state(config)).values["documents"]
    assert kept == retriever.invoke(QUERY)
    assert [scores(document) for document in kept] == [
        pytest.approx(scores(document), abs=1e-4) for document in retriever.invoke(QUERY)
    ]


def test_documents_are_equal_whatever_their_scores(retriever: UniMoERRetriever) -> None:
    one, *_ = retriever.invoke(QUERY)
    (other,) = (each for each in retriever.invoke("money and cards") if each.id == one.id)
    assert scores(one) != scores(other)
    assert one == other
    assert not one != other  # noqa: SIM202 - asks the other operator
    plain = Document(one.page_content, id=one.id, metadata=dict(one.metadata))
    assert plain == other
    assert other == plain
    assert one.metadata != 3


def test_documents_differ_in_all_else(retriever: UniMoERRetriever) -> None:
    one, *_ = retriever.invoke(QUERY)
    assert one != one.model_copy(update={"id": "another"})
    assert one != one.model_copy(update={"page_content": "another"})
    for metadata in ({**one.metadata, "year": 1}, {"source": "refunds.md"}, {}):
        assert one != one.model_copy(update={"metadata": metadata})
        assert one.model_copy(update={"metadata": metadata}) != one


def _as_json(document: Document) -> Document:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain calls its own function beta
        read = loads(dumps(document), allowed_objects="core")
    assert isinstance(read, Document)
    return read


@pytest.mark.parametrize(
    "passed_on",
    [
        _as_json,
        copy.copy,
        copy.deepcopy,
        lambda document: pickle.loads(pickle.dumps(document)),
        lambda document: Document.model_validate(document.model_dump()),
        lambda document: Document.model_validate_json(document.model_dump_json()),
    ],
    ids=["load", "copy", "deepcopy", "pickle", "model", "json"],
)
def test_a_document_passed_on_is_the_same_with_its_scores(
    retriever: UniMoERRetriever, passed_on: Callable[[Document], Document]
) -> None:
    document, *_ = retriever.invoke(QUERY)
    again = passed_on(document)
    assert type(again) is Document
    assert again == document
    assert dict(again.metadata) == dict(document.metadata)


def test_metadata_is_a_dictionary_of_the_documents_own(retriever: UniMoERRetriever) -> None:
    document, *_ = retriever.invoke(QUERY)
    assert isinstance(document.metadata, dict)
    document.metadata["seen"] = True
    assert "seen" not in retriever.invoke(QUERY)[0].metadata
    assert str(document.metadata) == str(dict(document.metadata))
    with pytest.raises(TypeError, match="unhashable"):
        hash(document.metadata)
