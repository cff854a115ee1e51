"""What a real vLLM server answers to plain HTTP: what `ChatServer` is written for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from running_vllm import LONG, WITHOUT_END, StartVllm, becomes_idle, tokens_made

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

Json = dict[str, Any]
BUSY = "The engine is currently busy and cannot accept new requests."


def body(**options: Any) -> Json:
    """A request's body."""
    messages = [{"role": "user", "content": "How long do refunds take?"}]
    return {"model": "tiny-qwen3", "messages": messages, "max_tokens": 8, **options}


def ask(url: str, **options: Any) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json=body(**options), timeout=120)


def events(response: httpx.Response) -> Iterator[Json]:
    """The events of a stream; it has to end with [DONE]."""
    lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
    for line in lines:
        if line == "[DONE]":
            return
        yield json.loads(line)
    pytest.fail("the stream ended without [DONE]")


def error(response: httpx.Response) -> tuple[int, str, str]:
    """Status, type and message of a refusal."""
    found = response.json()["error"]
    assert found["code"] == response.status_code
    return response.status_code, found["type"], found["message"]


@asynccontextmanager
async def running_streams(url: str, n: int) -> AsyncIterator[list[httpx.Response]]:
    """Long streams that have all begun, and that are closed at the block's end."""
    request = body(stream=True, max_tokens=LONG, **WITHOUT_END)
    async with (
        httpx.AsyncClient(timeout=120, limits=httpx.Limits()) as client,
        AsyncExitStack() as streams,
    ):

        async def begin() -> httpx.Response:
            opened = client.stream("POST", f"{url}/chat/completions", json=request)
            return await streams.enter_async_context(opened)

        yield await asyncio.gather(*(begin() for _ in range(n)))


# -- answers ------------------------------------------------------------------------------------


def test_it_names_its_model(vllm_url: str) -> None:
    [model] = httpx.get(f"{vllm_url}/models").json()["data"]
    assert (model["id"], model["max_model_len"]) == ("tiny-qwen3", 8192)


def test_a_whole_answer(vllm_url: str) -> None:
    response = ask(vllm_url, temperature=0)
    found = response.json()
    [choice] = found["choices"]
    assert response.status_code == 200
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"].isalpha()  # the random model's weights see to that
    assert found["usage"]["completion_tokens"] == 8
    assert ask(vllm_url, temperature=0).json()["choices"] == found["choices"]


def test_a_stream_adds_up_to_the_whole_answer(vllm_url: str) -> None:
    whole = ask(vllm_url, temperature=0).json()["choices"][0]["message"]["content"]
    request = body(temperature=0, stream=True)
    with httpx.stream("POST", f"{vllm_url}/chat/completions", json=request, timeout=120) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        choices = [event["choices"][0] for event in events(stream)]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == whole
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + [
        "length"
    ]


def test_usage_comes_in_an_event_without_choices(vllm_url: str) -> None:
    request = body(stream=True, stream_options={"include_usage": True})
    with httpx.stream("POST", f"{vllm_url}/chat/completions", json=request, timeout=120) as stream:
        *_, last = events(stream)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 8


def test_as_many_requests_at_once_as_it_takes_are_all_answered(
    vllm_url: str, vllm_limit: int
) -> None:
    async def ask_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=120) as client:
            post = client.post
            return await asyncio.gather(
                *(
                    post(f"{vllm_url}/chat/completions", json=body(seed=n))
                    for n in range(vllm_limit)
                )
            )

    responses = asyncio.run(ask_all())
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["usage"]["completion_tokens"] for response in responses} == {8}


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_not_found(vllm_url: str, stream: bool) -> None:
    assert error(ask(vllm_url, model="unknown", stream=stream)) == (
        404,
        "NotFoundError",
        "The model `unknown` does not exist. Valid aliases: tiny-qwen3.",
    )


@pytest.mark.parametrize("stream", [False, True])
def test_too_long_a_prompt_is_a_bad_request(vllm_url: str, stream: bool) -> None:
    messages = [{"role": "user", "content": "x" * 9000}]
    status, kind, message = error(ask(vllm_url, messages=messages, stream=stream))
    assert (status, kind) == (400, "BadRequestError")
    assert message.startswith("This model's maximum context length is 8192 tokens.")


def test_a_prompt_that_leaves_too_little_room_is_answered_briefly(vllm_url: str) -> None:
    found = ask(
        vllm_url, messages=[{"role": "user", "content": "x" * 8000}], max_tokens=1000
    ).json()
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["usage"]["total_tokens"] == 8192


async def test_requests_beyond_its_limit_are_turned_away(vllm_url: str, vllm_limit: int) -> None:
    assert becomes_idle(vllm_url)
    async with running_streams(vllm_url, vllm_limit):
        whole = await asyncio.to_thread(ask, vllm_url)
        streamed = await asyncio.to_thread(ask, vllm_url, stream=True)
    assert error(whole)[:2] == (503, "Service Unavailable")
    assert error(whole)[2].startswith(BUSY)
    assert error(streamed) == error(whole)
    assert becomes_idle(vllm_url)
    assert ask(vllm_url).status_code == 200


# -- streams that break off ---------------------------------------------------------------------


async def test_closing_a_stream_stops_the_work(vllm_url: str) -> None:
    assert becomes_idle(vllm_url)
    before = tokens_made(vllm_url)
    async with running_streams(vllm_url, 2) as streams:
        for stream in streams:
            await anext(stream.aiter_lines())
    assert becomes_idle(vllm_url)
    assert 1 <= tokens_made(vllm_url) - before < LONG
    assert ask(vllm_url).status_code == 200


def test_the_servers_death_breaks_the_stream(start_vllm: StartVllm) -> None:
    server = start_vllm()
    request = body(stream=True, max_tokens=LONG, **WITHOUT_END)
    with httpx.stream(
        "POST", f"{server.url}/chat/completions", json=request, timeout=60
    ) as response:
        lines = response.iter_lines()
        next(lines)
        server.kill()
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message"):
            list(lines)
    with pytest.raises(httpx.ConnectError):
        ask(server.url)


def test_its_engines_death_is_an_event_of_the_stream(
    start_vllm: StartVllm,
) -> None:
    server = start_vllm()
    request = body(stream=True, max_tokens=LONG, **WITHOUT_END)
    with httpx.stream(
        "POST", f"{server.url}/chat/completions", json=request, timeout=60
    ) as response:
        found = events(response)
        next(found)
        server.kill_engine()
        *_, last = found
    assert (last["error"]["code"], last["error"]["type"]) == (500, "InternalServerError")
    assert last["error"]["message"].startswith("EngineCore encountered an issue.")
    server.process.wait(timeout=60)
    with pytest.raises(httpx.ConnectError):
        ask(server.url)
