"""UniMoERPipeline: the pipeline's answers in LCEL, streamed and traced, and as an agent's tool."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import AddableDict, RunnablePassthrough
from langchain_helpers import QUERY
from langchain_unimoer import UniMoERPipeline

from unimoer_rag.errors import InputError
from unimoer_rag.generation import LangChainWrites
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

OFF_TOPIC = "Who won the 1998 World Cup?"
KEYS = [
    "question",
    "standalone",
    "answer",
    "confidence",
    "context",
    "citations",
    "abstained",
    "complete",
]


@pytest.fixture(scope="module")
def pipeline(filled: UnifiedRetriever) -> RagPipeline:
    return RagPipeline(filled, n_read=3)


@pytest.fixture
def chain(pipeline: RagPipeline) -> UniMoERPipeline:
    return pipeline.as_langchain()


def writing(filled: UnifiedRetriever, *replies: str) -> UniMoERPipeline:
    """A pipeline whose answers a chat model of LangChain writes, word by word."""
    model = GenericFakeChatModel(messages=iter(map(AIMessage, replies)))
    writer = LangChainWrites(model, name="fake")
    return RagPipeline(filled, n_read=3, generator=writer).as_langchain()


def added(chunks: list[AddableDict]) -> AddableDict:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


class Recorder(BaseCallbackHandler):
    """Keeps which runs began below which."""

    def __init__(self) -> None:
        self.runs: dict[Any, tuple[str, Any, Any]] = {}
        self.ends: list[Any] = []
        self.tools: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.tools.append(kwargs["run_id"])

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.runs[kwargs["run_id"]] = (kwargs["name"], kwargs["parent_run_id"], kwargs["tags"])

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.ends.append(outputs)

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.runs[kwargs["run_id"]] = ("model", kwargs["parent_run_id"], kwargs["tags"])


# -- a chain ----------------------------------------------------------------------------------


async def test_it_gives_the_pipelines_answer(chain: UniMoERPipeline, pipeline: RagPipeline) -> None:
    answer = pipeline.answer(QUERY)
    assert answer.text
    for told in (chain.invoke(QUERY), await chain.ainvoke({"input": QUERY, "history": []})):
        assert list(told) == KEYS
        assert (told["question"], told["answer"]) == (QUERY, answer.text)
        assert told["confidence"] == pytest.approx(answer.confidence, abs=1e-5)
        assert [document.id for document in told["context"]] == [hit.id for hit in answer.hits]
        assert told["context"][0].metadata["source"] == "refunds.md"
        [citation, *_] = told["citations"]
        assert citation["text"] == answer.citations[0].text
        assert citation["passage_id"] == told["context"][0].id
        assert (told["abstained"], told["complete"]) == (False, True)


@pytest.mark.slow
async def test_chunks_add_up(chain: UniMoERPipeline) -> None:
    for question in (QUERY, OFF_TOPIC):
        whole = chain.invoke(question)
        chunks = list(chain.stream(question))
        again = [chunk async for chunk in chain.astream({"question": question})]
        for given in (chunks, again):
            found = added(given)
            assert sorted(found) == sorted(KEYS)
            assert (found["answer"], found["context"]) == (whole["answer"], whole["context"])
    assert whole["answer"] == ""
    assert whole["abstained"] is True


async def test_words_come_as_a_chat_model_writes_them(filled: UnifiedRetriever) -> None:
    reply = "Refunds take five working days [1]."
    chain = writing(filled, reply, reply, "I do not know.")
    *pieces, last = chain.stream(QUERY)
    assert len(pieces) > 3
    assert all(list(piece) == ["answer"] for piece in pieces)
    assert "answer" not in last
    assert added([*pieces, last])["answer"] == reply
    assert last["citations"][0]["number"] == 1
    assert [chunk async for chunk in chain.astream(QUERY)][:-1] == pieces


async def test_filters_are_given_bound_and_beside_the_question(chain: UniMoERPipeline) -> None:
    here = {"source": "paris.md"}
    bound = chain.bind(filters=here)
    for told in (
        chain.invoke(QUERY, filters=here),
        chain.invoke({"question": QUERY, "filters": here}),
        await chain.ainvoke({"question": QUERY, "filters": {"source": "x"}}, filters=here),
        bound.invoke(QUERY),
        added(list(bound.stream(QUERY))),
    ):
        assert [document.metadata["source"] for document in told["context"]] == ["paris.md"]


@pytest.mark.slow
def test_what_was_said_before_counts(chain: UniMoERPipeline, pipeline: RagPipeline) -> None:
    before = [HumanMessage(QUERY), AIMessage("14 days")]
    now = "And how are they paid?"
    expected = pipeline.answer(now, history=[(QUERY, "14 days")])
    assert expected.standalone is not None
    for key in ("history", "chat_history"):
        told = chain.invoke({"question": now, key: before})
        assert (told["standalone"], told["answer"]) == (expected.standalone, expected.text or "")


@pytest.mark.slow
def test_it_fits_into_lcel(chain: UniMoERPipeline, pipeline: RagPipeline) -> None:
    answer = pipeline.answer(QUERY).text
    text = chain.pick("answer") | StrOutputParser()
    assert text.invoke(QUERY) == "".join(text.stream(QUERY)) == answer
    assert text.invoke(OFF_TOPIC) == ""  # a parser of text takes no None
    given = RunnablePassthrough.assign(told=chain.pick("answer")).invoke(
        {"question": QUERY, "n": 1}
    )
    assert given == {"question": QUERY, "n": 1, "told": answer}
    batch = chain.batch([QUERY, OFF_TOPIC, "How heavy is a kayak?"], {"max_concurrency": 2})
    assert [told["question"] for told in batch] == [QUERY, OFF_TOPIC, "How heavy is a kayak?"]
    assert [told["abstained"] for told in batch] == [False, True, False]
    assert chain.with_retry().invoke(QUERY)["answer"] == answer
    assert {"type": "string"} in chain.get_input_jsonschema()["anyOf"]
    assert chain.get_output_jsonschema()["type"] == "object"


async def test_runs_are_traced_and_those_inside_are_below(filled: UnifiedRetriever) -> None:
    async def awaited(chain: UniMoERPipeline, config: Any) -> None:
        await chain.ainvoke(QUERY, config)

    async def streamed(chain: UniMoERPipeline, config: Any) -> None:
        async for _ in chain.astream(QUERY, config):
            pass

    async def blocking(chain: UniMoERPipeline, config: Any) -> None:
        chain.invoke(QUERY, config)
        list(chain.stream(QUERY, config))

    for ask, n in ((awaited, 1), (streamed, 1), (blocking, 2)):
        recorder = Recorder()
        chain = writing(filled, *["Five days [1]."] * 2)
        await ask(chain, {"callbacks": [recorder], "tags": ["shop"], "run_name": "answers"})
        outer = [key for key, run in recorder.runs.items() if run[0] == "answers"]
        inner = [run for run in recorder.runs.values() if run[0] == "model"]
        assert [run[1] for run in inner] == outer
        assert len(outer) == n
        assert all("shop" in run[2] for run in recorder.runs.values())
        assert [end["answer"] for end in recorder.ends] == ["Five days [1]."] * n


async def test_what_is_no_question_is_refused(chain: UniMoERPipeline) -> None:
    for wrong in (7, {"q": QUERY}, [QUERY]):
        with pytest.raises(
            InputError, match=r"the question is a .*: expected a text, or a mapping"
        ):
            chain.invoke(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the query is empty"):
        await chain.ainvoke(" ")
    with pytest.raises(InputError, match="takes no 'filter': write filters="):
        list(chain.stream({"question": QUERY, "filter": {"source": "a.md"}}))
    with pytest.raises(InputError, match="takes no 'k': expected filters"):
        chain.invoke(QUERY, k=3)
    with pytest.raises(InputError, match="is of a RagPipeline, not a str"):
        UniMoERPipeline("local")  # type: ignore[arg-type]


# -- a tool -----------------------------------------------------------------------------------


def call(question: str) -> ToolCall:
    args = {"question": question}
    return ToolCall(name="answer_from_documents", args=args, id="1", type="tool_call")


async def test_a_tool_keeps_the_sources(chain: UniMoERPipeline) -> None:
    tool = chain.as_tool()
    assert tool.args["question"]["type"] == "string"
    assert list(tool.args) == ["question"]
    told = chain.invoke(QUERY)
    for message in (tool.invoke(call(QUERY)), await tool.ainvoke(call(QUERY))):
        assert isinstance(message, ToolMessage)
        assert message.artifact["context"] == told["context"]
        passage = told["context"][0].page_content
        assert message.content == f"{told['answer']}\n\n[1] refunds.md: {passage}"
    assert tool.invoke({"question": OFF_TOPIC}) == "The documents do not answer this."


def test_a_tool_numbers_passages_as_the_answer_does(filled: UnifiedRetriever) -> None:
    tool = writing(filled, "Cards get the money back [1], in Paris [2].").as_tool(name="shop")
    text = tool.invoke({"question": QUERY})
    read = filled.search(QUERY, k=3)
    first, second = (f"[{n}] {hit.source}: {hit.text}" for n, hit in enumerate(read[:2], 1))
    assert text == f"Cards get the money back [1], in Paris [2].\n\n{first}\n\n{second}"


async def test_a_tools_run_is_the_parent_of_the_answers(chain: UniMoERPipeline) -> None:
    recorder = Recorder()
    chain.as_tool().invoke(call(QUERY), {"callbacks": [recorder]})
    await chain.as_tool().ainvoke(call(QUERY), {"callbacks": [recorder]})
    assert [run[:2] for run in recorder.runs.values()] == [
        ("UniMoERPipeline", tool) for tool in recorder.tools
    ]
    assert len(recorder.tools) == 2
