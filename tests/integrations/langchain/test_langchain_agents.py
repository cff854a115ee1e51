"""UniMoERPipeline's tool in an agent and in a graph."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langchain_helpers import QUERY

from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

# The package of agents asks for a langchain-core newer than the lowest that we run with.
pytest.importorskip(
    "langchain.agents", exc_type=ImportError, reason="langchain needs a later langchain-core"
)

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode


class Calling(FakeMessagesListChatModel):
    """Says what it is told to; binding tools changes nothing."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Calling:
        assert [tool.name for tool in tools] == ["answer_from_documents"]
        return self


def test_an_agent_and_a_tool_node_use_it(filled: UnifiedRetriever) -> None:
    chain = RagPipeline(filled, n_read=3).as_langchain()
    tool = chain.as_tool()
    call = ToolCall(name=tool.name, args={"question": QUERY}, id="1", type="tool_call")
    asks, says = AIMessage("", tool_calls=[call]), AIMessage("Five working days.")
    agent = create_agent(Calling(responses=[asks, says]), [tool])
    question = {"messages": [HumanMessage(QUERY)]}
    *_, answered, last = agent.invoke(question)["messages"]  # type: ignore[arg-type]
    assert last.text == "Five working days."
    assert answered.artifact["context"][0].metadata["source"] == "refunds.md"

    graph = StateGraph(MessagesState).add_node("tools", ToolNode([tool]))
    graph = graph.add_edge(START, "tools").add_edge("tools", END)
    app = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    app.invoke({"messages": [asks]}, config)
    kept = app.get_state(config).values["messages"][-1]
    assert kept.artifact["answer"] == chain.invoke(QUERY)["answer"]
    assert kept.artifact["context"][0]["metadata"]["source"] == "refunds.md"  # plain by now
