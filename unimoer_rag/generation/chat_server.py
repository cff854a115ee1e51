"""Generation by a server with OpenAI's chat interface, such as `vllm serve`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from unimoer_rag.errors import GenerationError, GeneratorUnavailableError, InputError
from unimoer_rag.generation.chat_connection import ChatConnection
from unimoer_rag.generation.chat_wire import Reply
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.spoken import SpokenText
from unimoer_rag.generation.types import Generation, Piece
from unimoer_rag.retrieval import Hit
from unimoer_rag.urls import shown_url

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
        for name, value, least in (
            ("max_tokens", max_tokens, 1),
            ("temperature", temperature, 0),
            ("timeout", timeout, 0.001),
            ("retries", retries, 0),
            ("max_concurrency", max_concurrency, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} is {value!r}: expected {least} or more")
        _check_options(options or {})
        self.prompt = prompt if isinstance(prompt, Prompt) else Prompt.load(prompt)
        self._connection = ChatConnection(
            url, api_key=api_key, timeout=timeout, max_concurrency=max_concurrency
        )
        self.url = self._connection.url
        self._model = model
        self._body = {"max_tokens": max_tokens, "temperature": temperature, **(options or {})}
        self._retrying: dict[str, Any] = {
            "stop": stop_after_attempt(retries + 1),
            "wait": _WAIT,
            "retry": retry_if_exception_type(GeneratorUnavailableError),
            "reraise": True,
        }

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
                reply = self._connection.whole(body)
        return self._read(reply, hits)

    def stream(self, question: str, hits: Sequence[Hit]) -> Iterator[Piece]:
        """Pieces of the answer as they come, then the whole; raises as `generate` does.

        Closing the iterator hangs up, which stops the model.
        """
        body = self._request(self.model, question, hits)
        for attempt in Retrying(**self._retrying):
            with attempt:
                reply = Reply()
                words = self._connection.words(body, reply)
                first = next(words, "")
        answer = SpokenText()
        with closing(words):
            for piece in chain([first], words):
                if said := answer.take(piece):
                    yield said
        if said := answer.end():
            yield said
        yield self._read(reply, hits)

    # -- awaited ----------------------------------------------------------------------------

    async def agenerate(self, question: str, hits: Sequence[Hit]) -> Generation:
        """`generate` without blocking the event loop."""
        body = self._request(await self._amodel(), question, hits)
        async for attempt in AsyncRetrying(**self._retrying):
            with attempt:
                reply = await self._connection.awhole(body)
        return self._read(reply, hits)

    async def astream(self, question: str, hits: Sequence[Hit]) -> AsyncIterator[Piece]:
        """`stream` without blocking the event loop."""
        body = self._request(await self._amodel(), question, hits)
        async for attempt in AsyncRetrying(**self._retrying):
            with attempt:
                reply = Reply()
                words = self._connection.awords(body, reply)
                first = await anext(words, "")
        answer = SpokenText()
        async with aclosing(words):
            if said := answer.take(first):
                yield said
            async for piece in words:
                if said := answer.take(piece):
                    yield said
        if said := answer.end():
            yield said
        yield self._read(reply, hits)

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
                told = self._connection.models()
        self._model = _first_listed(told, self.url)
        return self._model

    def _request(self, model: str, question: str, hits: Sequence[Hit]) -> dict[str, Any]:
        messages = self.prompt.messages(question, hits, harmless=True)
        return {"model": model, "messages": messages, **self._body}

    def _read(self, reply: Reply, hits: Sequence[Hit]) -> Generation:
        return self.prompt.read(reply.text, hits, complete=reply.complete, cut_by=reply.cut_by)

    def close(self) -> None:
        """Close the connections of blocking calls."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of blocking calls."""
        await self._connection.aclose()

    def __repr__(self) -> str:
        return f"ChatServer({shown_url(self.url)!r}, model={self._model!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ChatServer holds a key and connections: make it where it is used")


def _check_options(options: Mapping[str, Any]) -> None:
    taken = sorted({"messages", "model", "stream"} & options.keys())
    if taken:
        raise InputError(
            f"options has {taken[0]!r}, which is set by other arguments and by the way you ask"
        )


def _first_listed(body: bytes, url: str) -> str:
    try:
        return str(json.loads(body)["data"][0]["id"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise GenerationError(
            f"{shown_url(url)}/models names no model: give the model's name, or start the server "
            "with one"
        ) from error
