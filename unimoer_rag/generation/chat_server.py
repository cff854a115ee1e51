"""Generation by a server with OpenAI's chat interface, such as `vllm serve`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from unimoer_rag.errors import GenerationError, GeneratorUnavailableError, InputError
from unimoer_rag.generation.chat_wire import (
    Reply,
    check_first,
    check_response,
    is_event,
    transport_errors,
)
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.types import Generation, Piece
from unimoer_rag.retrieval.types import Hit

__all__ = ["ChatServer"]

# Between two tries: a quarter of a second at first, ten at most, not everybody at the same time.
_WAIT = wait_exponential(multiplier=0.25, max=10) + wait_random(0, 0.25)


class ChatServer:
    """Answers from passages by a chat model behind an OpenAI-compatible URL.

    Safe to use from any thread and event loop. What fails before the first word (no connection,
    overload, an error of the server's own) is tried again, later and later.

    Args:
        url: of the interface, such as "http://localhost:8000/v1".
        model: its name there; None for the first one that is served.
        api_key: sent as a bearer token.
        prompt: a prompt, its file, or the name of one that ships.
        max_tokens: of an answer.
        temperature: 0 for the most probable words.
        options: anything else for the request's body, such as `{"top_p": 0.9}` or
            `{"chat_template_kwargs": {"enable_thinking": False}}`.
        timeout: seconds without a sign of life after which a request has failed.
        retries: how often a request is tried again.
        max_concurrency: requests at a time; further ones wait for their turn.

    Raises:
        InputError: an argument has a value that cannot be used.

    >>> ChatServer("http://localhost:8000/v1").generate(question, hits).text   # doctest: +SKIP
    'Refunds take 14 days [1].'
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        prompt: Prompt | str | Path = "cited",
        max_tokens: int = 256,
        temperature: float = 0.0,
        options: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        max_concurrency: int = 16,
    ) -> None:
        _check_url(url)
        if api_key and not _fits_header(api_key):
            raise InputError(
                "api_key has characters that no HTTP header carries, such as a line's end: give "
                "the key alone"
            )
        for name, value, least in (
            ("max_tokens", max_tokens, 1),
            ("temperature", temperature, 0),
            ("timeout", timeout, 0.001),
            ("retries", retries, 0),
            ("max_concurrency", max_concurrency, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} is {value!r}: expected {least} or more")
        self.url = url.rstrip("/")
        self.prompt = prompt if isinstance(prompt, Prompt) else Prompt.load(prompt)
        self._model = model
        self._body = {"max_tokens": max_tokens, "temperature": temperature, **(options or {})}
        self._settings: dict[str, Any] = {
            "headers": {"Authorization": f"Bearer {api_key}"} if api_key else {},
            # Waiting for a turn is no failure of the server's.
            "timeout": httpx.Timeout(timeout, pool=None),
            "limits": httpx.Limits(max_connections=max_concurrency),
        }
        self._retrying: dict[str, Any] = {
            "stop": stop_after_attempt(retries + 1),
            "wait": _WAIT,
            "retry": retry_if_exception_type(GeneratorUnavailableError),
            "reraise": True,
        }
        self._client = httpx.Client(**self._settings)
        # Connections belong to the event loop that opened them.
        self._aclients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}

    @property
    def stage(self) -> str:
        """What its work is called in timings and traces."""
        return "generate"

    # -- blocking ---------------------------------------------------------------------------

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """The model's answer.

        Raises:
            GeneratorUnavailableError: no server answers, or it stays overloaded.
            GeneratorRefusedError: it refuses the key, the model or the prompt.
            GenerationError: what it answers makes no sense, or it broke off.
        """
        body = self._request(self.model, question, hits)
        for attempt in Retrying(**self._retrying):
            with attempt:
                with transport_errors(self.url):
                    response = self._client.post(f"{self.url}/chat/completions", json=body)
                check_response(response, self.url, response.text)
                reply = Reply.of(response, self.url)
        return self._read(reply, hits)

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        """Pieces of the answer as they come, then the whole; raises as `generate` does.

        Closing the iterator hangs up, which stops the model.
        """
        reply = Reply()
        with (
            self._opened(self._request(self.model, question, hits)) as lines,
            transport_errors(self.url, reply),
        ):
            for line in lines:
                yield from reply.take(line, self.url)
        reply.check_ended(self.url)
        yield self._read(reply, hits)

    @contextmanager
    def _opened(self, body: dict[str, Any]) -> Iterator[Iterator[str]]:
        """The lines of a stream that has begun well."""
        request = self._client.build_request(
            "POST", f"{self.url}/chat/completions", json={**body, "stream": True}
        )
        for attempt in Retrying(**self._retrying):
            with attempt:
                with transport_errors(self.url):
                    response = self._client.send(request, stream=True)
                try:
                    with transport_errors(self.url):
                        if response.status_code != httpx.codes.OK:
                            response.read()
                            check_response(response, self.url, response.text)
                        lines = response.iter_lines()
                        first = next(filter(is_event, lines), "")
                    check_first(first, self.url)
                except BaseException:
                    response.close()
                    raise
        try:
            yield chain([first], lines)
        finally:
            response.close()

    # -- awaited ----------------------------------------------------------------------------

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """`generate` without blocking the event loop."""
        body = self._request(await self._amodel(), question, hits)
        async for attempt in AsyncRetrying(**self._retrying):
            with attempt:
                with transport_errors(self.url):
                    response = await self._aclient.post(f"{self.url}/chat/completions", json=body)
                check_response(response, self.url, response.text)
                reply = Reply.of(response, self.url)
        return self._read(reply, hits)

    async def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        """`stream` without blocking the event loop."""
        reply = Reply()
        async with self._aopened(self._request(await self._amodel(), question, hits)) as lines:
            with transport_errors(self.url, reply):
                async for line in lines:
                    for piece in reply.take(line, self.url):
                        yield piece
        reply.check_ended(self.url)
        yield self._read(reply, hits)

    @asynccontextmanager
    async def _aopened(self, body: dict[str, Any]) -> AsyncIterator[AsyncIterator[str]]:
        client = self._aclient
        request = client.build_request(
            "POST", f"{self.url}/chat/completions", json={**body, "stream": True}
        )
        async for attempt in AsyncRetrying(**self._retrying):
            with attempt:
                with transport_errors(self.url):
                    response = await client.send(request, stream=True)
                try:
                    with transport_errors(self.url):
                        if response.status_code != httpx.codes.OK:
                            await response.aread()
                            check_response(response, self.url, response.text)
                        lines = response.aiter_lines()
                        first = await _first_event(lines)
                    check_first(first, self.url)
                except BaseException:
                    await response.aclose()
                    raise
        try:
            yield _achain(first, lines)
        finally:
            await response.aclose()

    @property
    def _aclient(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._aclients:
            # One connection a loop would add up where every call runs in a loop of its own.
            for ended in [one for one in list(self._aclients) if one.is_closed()]:
                self._aclients.pop(ended, None)
            self._aclients[loop] = httpx.AsyncClient(**self._settings)
        return self._aclients[loop]

    # -- both -------------------------------------------------------------------------------

    @property
    def model(self) -> str:
        """The name of the model that answers."""
        return self._first_model() if self._model is None else self._model

    async def _amodel(self) -> str:
        if self._model is not None:
            return self._model
        return await asyncio.to_thread(self._first_model)

    def _first_model(self) -> str:
        for attempt in Retrying(**self._retrying):
            with attempt:
                with transport_errors(self.url):
                    response = self._client.get(f"{self.url}/models")
                check_response(response, self.url, response.text)
        name = _first_listed(response.text, self.url)
        self._model = name
        return name

    def _request(self, model: str, question: str, hits: Sequence[Hit]) -> dict[str, Any]:
        return {"model": model, "messages": self.prompt.messages(question, hits), **self._body}

    def _read(self, reply: Reply, hits: Sequence[Hit]) -> Generation:
        return self.prompt.read(reply.text, hits, complete=reply.complete)

    def close(self) -> None:
        """Close the connections of blocking calls."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of blocking calls."""
        client = self._aclients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
        self.close()


def _check_url(url: str) -> None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError(f"url is {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(f"url is {url!r}: expected one such as 'http://localhost:8000/v1'")


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


async def _first_event(lines: AsyncIterator[str]) -> str:
    async for line in lines:
        if is_event(line):
            return line
    return ""


async def _achain(first: str, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for line in lines:
        yield line


def _first_listed(text: str, url: str) -> str:
    try:
        return str(json.loads(text)["data"][0]["id"])
    except (ValueError, LookupError, TypeError) as error:
        raise GenerationError(
            f"{url}/models names no model: give the model's name, or start the server with one"
        ) from error
