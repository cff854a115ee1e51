"""The retriever in chains: LCEL, streaming, events, configuration, retries."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable, RunnablePassthrough
from langchain_helpers import QUERY, assert_same, sources
from langchain_unimoer import UniMoERRetriever

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.retriever import UnifiedRetriever

ANSWER = "It takes five working days."
QUERIES = [QUERY, "capital of France", "opening hours", "boat"]
LS = {
    "ls_retriever_name": "unimoer",
    "ls_vector_store_provider": "qdrant",
    "ls_embedding_provider": "unimoer",
    "ls_embedding_model": "unimoer-minilm",
}


class Recorder(BaseCallbackHandler):
    """Keeps what a tracer is told."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.found: list[list[Document]] = []
        self.errors: list[BaseException] = []
        self.prompts: list[str] = []

    def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
        self.starts.append({"query": query, **kwargs})

    def on_retriever_end(self, documents: Any, **kwargs: Any) -> None:
        self.found.append(list(documents))

    def on_retriever_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.prompts.append(messages[0][0].content)


@pytest.fixture
def retriever(filled: UnifiedRetriever) -> UniMoERRetriever:
    return filled.as_langchain(k=2)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def texts_of(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)


@pytest.fixture
def chain(retriever: UniMoERRetriever) -> Runnable[str, str]:
    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    model = GenericFakeChatModel(messages=itertools.cycle([AIMessage(ANSWER)]))
    inputs = {"context": retriever | texts_of, "question": RunnablePassthrough()}
    return inputs | prompt | model | StrOutputParser()


# -- a chain ----------------------------------------------------------------------------------


async def test_a_chain_puts_passages_into_the_prompt(
    chain: Runnable[str, str], retriever: UniMoERRetriever, recorder: Recorder
) -> None:
    config: Any = {"callbacks": [recorder]}
    assert chain.invoke(QUERY, config) == await chain.ainvoke(QUERY, config) == ANSWER
    expected = f"{texts_of(retriever.invoke(QUERY))}\n\nQuestion: {QUERY}"
    assert recorder.prompts == [expected] * 2
    assert "five working days" in recorder.prompts[0]


async def test_a_chain_streams(chain: Runnable[str, str]) -> None:
    for chunks in (list(chain.stream(QUERY)), [chunk async for chunk in chain.astream(QUERY)]):
        assert len([chunk for chunk in chunks if chunk]) > 3
        assert "".join(chunks) == ANSWER


async def test_events_tell_of_the_retriever(
    chain: Runnable[str, str], retriever: UniMoERRetriever
) -> None:
    events = [event async for event in chain.astream_events(QUERY, version="v2")]
    (start,) = (event for event in events if event["event"] == "on_retriever_start")
    (end,) = (event for event in events if event["event"] == "on_retriever_end")
    assert start["name"] == end["name"] == "UniMoERRetriever"
    assert start["data"]["input"]["query"] == QUERY
    assert LS.items() <= start["metadata"].items()
    assert_same(end["data"]["output"], retriever.invoke(QUERY))
    streamed = [event["data"]["chunk"] for event in events if event["event"] == "on_parser_stream"]
    assert "".join(streamed) == ANSWER


async def test_a_batch_is_its_single_calls(
    chain: Runnable[str, str], retriever: UniMoERRetriever
) -> None:
    queries = QUERIES * 3
    expected = [retriever.invoke(query) for query in queries]
    for together in (
        retriever.batch(queries),
        retriever.batch(queries, config={"max_concurrency": 2}),
        await retriever.abatch(queries),
    ):
        for found, alone in zip(together, expected, strict=True):
            assert_same(found, alone)
    assert chain.batch(QUERIES) == await chain.abatch(QUERIES) == [ANSWER] * 4
    failures = retriever.batch([QUERY, " "], return_exceptions=True)
    assert_same(failures[0], expected[0])
    assert isinstance(failures[1], InputError)


# -- what callbacks are told ------------------------------------------------------------------


async def test_tags_metadata_names_and_callbacks_get_through(
    filled: UnifiedRetriever, recorder: Recorder
) -> None:
    retriever = filled.as_langchain(k=1, tags=["handbook"], metadata={"team": "shop"})
    config: Any = {
        "callbacks": [recorder],
        "tags": ["of the call"],
        "metadata": {"user": "7"},
        "run_name": "find",
    }
    found = [retriever.invoke(QUERY, config), await retriever.ainvoke(QUERY, config)]
    assert recorder.found == found
    for start in recorder.starts:
        assert start["query"] == QUERY
        assert start["name"] == "find"
        assert set(start["tags"]) == {"handbook", "of the call"}
        assert start["metadata"] == {"team": "shop", "user": "7", **LS}


async def test_errors_are_told_and_raised(retriever: UniMoERRetriever, recorder: Recorder) -> None:
    config: Any = {"callbacks": [recorder]}
    with pytest.raises(InputError, match="the query is empty"):
        retriever.invoke(" ", config)
    with pytest.raises(InputError, match="k is 0"):
        await retriever.ainvoke(QUERY, config, k=0)
    assert [str(error)[:7] for error in recorder.errors] == ["the que", "k is 0:"]


# -- what runnables are made into -------------------------------------------------------------


async def test_fields_can_be_configured(filled: UnifiedRetriever) -> None:
    retriever = filled.as_langchain(k=1, rerank=0).configurable_fields(
        k=ConfigurableField("k"), filters=ConfigurableField("filters", annotation=dict)
    )
    assert sources(retriever.invoke(QUERY)) == ["refunds.md"]
    config: Any = {"configurable": {"k": 3, "filters": {"year": {"gte": 2000}}}}
    for found in (
        retriever.invoke(QUERY, config),
        await retriever.ainvoke(QUERY, config),
        retriever.with_config(config).invoke(QUERY),
    ):
        assert len(found) == 3
        assert "paris.md" not in sources(found)
        assert all("relevance_score" not in document.metadata for document in found)


async def test_retries_and_fallbacks(
    filled: UnifiedRetriever, retriever: UniMoERRetriever, recorder: Recorder
) -> None:
    config: Any = {"callbacks": [recorder]}
    patient = retriever.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    assert_same(await patient.ainvoke(QUERY, config), patient.invoke(QUERY, config))
    assert len(recorder.starts) == 2
    with pytest.raises(InputError):
        patient.invoke(" ", config)
    assert len(recorder.errors) == 2
    either = filled.as_langchain().bind(k=0).with_fallbacks([retriever])
    assert len(either.invoke(QUERY)) == 2


async def test_bound_settings_hold_in_a_chain(retriever: UniMoERRetriever) -> None:
    chain = retriever.bind(k=3, rerank=0) | sources
    assert len(chain.invoke(QUERY)) == len(await chain.ainvoke(QUERY)) == 3
    assert retriever.bind(filters={"year": 2024}).pipe(sources).invoke(QUERY) == ["kayak.md"]
