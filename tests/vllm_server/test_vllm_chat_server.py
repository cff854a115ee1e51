"""`ChatServer` against a real vLLM server."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from running_vllm import LONG, WITHOUT_END, StartVllm, becomes_idle, in_flight, tokens_made

from unimoer_rag.errors import (
    GenerationError,
    GeneratorRefusedError,
    GeneratorUnavailableError,
)
from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.retrieval.types import Hit, Passage

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
]

Connect = Callable[..., ChatServer]

QUESTION = "How long do refunds take?"
HITS = [Hit(Passage("Refunds take 14 days.", "refunds.md", "Refunds", 10, 31), rerank=0.9)]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., ChatServer]]:
    """Makes clients, and closes their connections when the test is over."""
    made: list[ChatServer] = []

    def make(*args: Any, **options: Any) -> ChatServer:
        made.append(ChatServer(*args, **options))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def chat(vllm_url: str, connect: Connect) -> ChatServer:
    return connect(vllm_url, max_tokens=12)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What is left unclosed is noticed here, not in a later test."""
    yield
    gc.collect()


async def test_every_door_gives_the_same_answer(chat: ChatServer) -> None:
    whole = chat.generate(QUESTION, HITS)
    assert whole.text is not None
    assert len(whole.text) == 12
    assert not whole.complete  # the random model goes on to its limit
    assert await chat.agenerate(QUESTION, HITS) == whole
    *pieces, last = chat.stream(QUESTION, HITS)
    assert (pieces, last) == (list(whole.text), whole)
    *pieces, last = [piece async for piece in chat.astream(QUESTION, HITS)]
    assert (pieces, last) == (list(whole.text), whole)


def test_the_model_is_the_one_that_is_served(chat: ChatServer) -> None:
    assert chat.model == "tiny-qwen3"


async def test_many_at_once_take_turns(vllm_url: str, connect: Connect) -> None:
    client = connect(vllm_url, max_tokens=32, max_concurrency=4)
    asked = asyncio.gather(*(client.agenerate(f"{QUESTION} {n}", HITS) for n in range(24)))
    seen = []
    while not asked.done():
        seen.append(await asyncio.to_thread(in_flight, vllm_url))
    assert len({answer.text for answer in await asked}) > 1
    assert 1 <= max(seen) <= 4


async def test_a_model_that_is_not_there(vllm_url: str, connect: Connect) -> None:
    client = connect(vllm_url, "unknown")
    for answer in (client.generate, lambda *asked: list(client.stream(*asked))):
        with pytest.raises(GeneratorRefusedError, match="The model `unknown` does not exist"):
            answer(QUESTION, HITS)
    with pytest.raises(GeneratorRefusedError, match="unknown"):
        await client.agenerate(QUESTION, HITS)
    client.close()


def test_a_prompt_that_is_too_long(chat: ChatServer) -> None:
    with pytest.raises(GeneratorRefusedError, match="maximum context length is 8192 tokens"):
        chat.generate("x" * 9000, HITS)


def test_a_wrong_url(vllm_url: str, connect: Connect) -> None:
    client = connect(vllm_url.removesuffix("/v1"), "tiny-qwen3", retries=0)
    with pytest.raises(GeneratorRefusedError, match="usually ends in /v1"):
        client.generate(QUESTION, HITS)
    client.close()


async def test_closing_a_stream_stops_the_work(vllm_url: str, connect: Connect) -> None:
    assert becomes_idle(vllm_url)
    before = tokens_made(vllm_url)
    client = connect(vllm_url, max_tokens=LONG, options=WITHOUT_END)
    stream = client.stream(QUESTION, HITS)
    assert isinstance(next(stream), str)
    stream.close()  # type: ignore[attr-defined]
    assert becomes_idle(vllm_url)
    astream = client.astream(QUESTION, HITS)
    assert isinstance(await anext(astream), str)
    await astream.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(becomes_idle, vllm_url)
    assert 2 <= tokens_made(vllm_url) - before < LONG
    client.close()


async def test_a_cancelled_task_stops_the_work(vllm_url: str, connect: Connect) -> None:
    assert becomes_idle(vllm_url)
    before = tokens_made(vllm_url)
    client = connect(vllm_url, max_tokens=LONG, options=WITHOUT_END)
    task = asyncio.create_task(client.agenerate(QUESTION, HITS))
    while not task.done() and not await asyncio.to_thread(in_flight, vllm_url):
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(becomes_idle, vllm_url)
    assert tokens_made(vllm_url) - before < LONG


async def test_an_overloaded_server_is_tried_again(
    vllm_url: str, vllm_limit: int, connect: Connect
) -> None:
    assert becomes_idle(vllm_url)
    flood = connect(vllm_url, max_tokens=LONG, options=WITHOUT_END, max_concurrency=vllm_limit)
    streams = [flood.astream(QUESTION, HITS) for _ in range(vllm_limit)]
    await asyncio.gather(*(anext(stream) for stream in streams))
    refused = connect(vllm_url, max_tokens=4, retries=0)
    with pytest.raises(GeneratorUnavailableError, match="currently busy"):
        await refused.agenerate(QUESTION, HITS)
    with pytest.raises(GenerationError, match="currently busy"):
        await anext(refused.astream(QUESTION, HITS))
    patient = connect(vllm_url, max_tokens=4, retries=8)
    waiting = asyncio.create_task(patient.agenerate(QUESTION, HITS))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await asyncio.gather(*(stream.aclose() for stream in streams))  # type: ignore[attr-defined]
    assert (await waiting).text


def test_the_servers_death(start_vllm: StartVllm, connect: Connect) -> None:
    server = start_vllm("--api-key", "secret")
    stranger = connect(server.url, "tiny-qwen3", api_key="wrong")
    with pytest.raises(GeneratorRefusedError, match="API key"):
        stranger.generate(QUESTION, HITS)
    stranger.close()
    client = connect(server.url, api_key="secret", max_tokens=LONG, options=WITHOUT_END, retries=1)
    failure = Failure(client)
    stream = client.stream(QUESTION, HITS)
    assert isinstance(next(stream), str)
    server.kill()
    with pytest.raises(GenerationError, match=r"broke off after [1-9]") as broken:
        list(stream)
    assert not isinstance(broken.value, GeneratorUnavailableError)
    failure.join()
    assert isinstance(failure.error, GeneratorUnavailableError)
    for answer in (client.generate, lambda *asked: list(client.stream(*asked))):
        with pytest.raises(GeneratorUnavailableError, match="start it, or correct the URL"):
            answer(QUESTION, HITS)
    client.close()


def test_its_engines_death(start_vllm: StartVllm, connect: Connect) -> None:
    server = start_vllm()
    client = connect(server.url, max_tokens=LONG, options=WITHOUT_END, retries=0)
    failure = Failure(client)
    stream = client.stream(QUESTION, HITS)
    assert isinstance(next(stream), str)
    server.kill_engine()
    with pytest.raises(GenerationError, match="EngineCore encountered an issue"):
        list(stream)
    failure.join()
    assert isinstance(failure.error, GeneratorUnavailableError)
    client.close()


class Failure(threading.Thread):
    """A long answer that is waited for in the background, and how it failed."""

    def __init__(self, client: ChatServer) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.error: GenerationError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.client.generate(QUESTION, HITS)
        except GenerationError as error:
            self.error = error
