"""Frameworks' own clients of OpenAI's interface, pointed at the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai_like import OpenAILike

from unimoer_rag import RagPipeline

QUESTION = "How long do refunds take?"
ANSWER = "14 days"
NAME = "unimoer-minilm"


@pytest.fixture
async def clients() -> AsyncIterator[tuple[httpx.Client, httpx.AsyncClient]]:
    """Connections that the frameworks' objects use, closed after the test."""
    with httpx.Client(trust_env=False, timeout=300) as client:
        async with httpx.AsyncClient(trust_env=False, timeout=300) as aclient:
            yield client, aclient


@pytest.fixture
def langchain(url: str, clients: tuple[httpx.Client, httpx.AsyncClient]) -> dict[str, Any]:
    """What LangChain's objects for OpenAI are told."""
    client, aclient = clients
    return {
        "model": NAME,
        "base_url": f"{url}/v1",
        "api_key": "none",
        "http_client": client,
        "http_async_client": aclient,
    }


@pytest.mark.slow
async def test_langchain_s_chat_model(langchain: dict[str, Any]) -> None:
    chat = ChatOpenAI(**langchain)
    reply = chat.invoke(QUESTION)
    assert reply.content == ANSWER
    assert (await chat.ainvoke([HumanMessage(QUESTION)])).content == ANSWER
    assert "".join(str(chunk.content) for chunk in chat.stream(QUESTION)) == ANSWER


@pytest.mark.slow
async def test_langchain_s_embeddings(langchain: dict[str, Any], pipeline: RagPipeline) -> None:
    # Else it sends the tokens of another model.
    made = OpenAIEmbeddings(**langchain, check_embedding_ctx_length=False)
    texts = ["Refunds take 14 days.", "The shop opens at nine."]
    expected = pipeline.retriever.engine.embed(texts)
    np.testing.assert_allclose(made.embed_documents(texts), expected, atol=1e-5)
    np.testing.assert_allclose(await made.aembed_documents(texts), expected, atol=1e-5)


@pytest.mark.slow
async def test_llama_index_s_language_model(
    url: str, clients: tuple[httpx.Client, httpx.AsyncClient]
) -> None:
    client, aclient = clients
    llm = OpenAILike(
        model=NAME,
        api_base=f"{url}/v1",
        api_key="none",
        is_chat_model=True,
        http_client=client,
        async_http_client=aclient,
    )
    message = ChatMessage(role="user", content=QUESTION)
    assert llm.chat([message]).message.content == ANSWER
    assert (await llm.achat([message])).message.content == ANSWER
    assert "".join(piece.delta or "" for piece in llm.stream_chat([message])) == ANSWER
    assert llm.complete(QUESTION).text == ANSWER
