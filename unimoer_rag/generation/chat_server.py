"""Generation by a server with OpenAI's chat interface, such as `vllm serve`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

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
from unimoer_rag.generation.doors import ChatDoors
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.spoken import SpokenText
from unimoer_rag.generation.types import Generation, Piece
from unimoer_rag.retrieval import Hit
from unimoer_rag.steps import Source, Steps, Streamed, arun, either, run
from unimoer_rag.urls import shown_url

__all__ = ["ChatServer"]

T = TypeVar("T")

# Between two tries: a quarter of a second at first, ten at most, not everybody at the same time.
_WAIT = wait_exponential(multiplier=0.25, max=10) + wait_random(0, 0.25)


class ChatServer(ChatDoors):
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
    def options(self) -> Mapping[str, Any]:
        """What of a request's body is the same in all of them."""
        return dict(self._body)

    @property
    def model(self) -> str:
        """The name of the model that answers."""
        return run(self._named())

    def whole(self, question: str, hits: Sequence[Hit]) -> Steps[Generation]:
        """See `Doors.whole`."""
        reply = yield from self.completed(self._messages(question, hits))
        return self._read(reply, hits)

    def replied(self, messages: Sequence[Mapping[str, str]]) -> Steps[str]:
        """See `ChatDoors.replied`."""
        return (yield from self.completed(messages)).text

    def completed(
        self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any] | None = None
    ) -> Steps[Reply]:
        """The whole reply to messages by steps, with what the server tells of it beside the words.

        Args:
            messages: with `role` and `content`.
            options: of this request, ahead of those of all.
        """
        _check_options(options or {})
        body = {**(yield from self._request(messages)), **(options or {})}
        return (yield from self._tried(partial(self._connection.whole, body)))

    def pieces(self, question: str, hits: Sequence[Hit]) -> Streamed[Piece]:
        """See `Doors.pieces`; closing the stream hangs up, which stops the model."""
        body = yield from self._request(self._messages(question, hits))
        reply, words, piece = yield from self._tried(partial(self._begun, body))
        answer = SpokenText()
        try:
            while piece is not None:
                if said := answer.take(piece):
                    yield said
                piece = yield from words.next()
        finally:
            yield from words.close()
        if said := answer.end():
            yield said
        yield self._read(reply, hits)

    def _begun(self, body: dict[str, Any]) -> Steps[tuple[Reply, Source[str], str | None]]:
        """A reply, its words and the first of them."""
        reply = Reply()
        words = Source.of(partial(self._connection.words, body, reply))
        return reply, words, (yield from words.next())

    def _tried(self, attempt: Callable[[], Steps[T]]) -> Steps[T]:
        """What an attempt comes to; another one is made while the server cannot answer."""

        async def again() -> T:  # tenacity awaits what is declared so
            return await arun(attempt())

        return either(
            lambda: Retrying(**self._retrying)(lambda: run(attempt())),
            lambda: AsyncRetrying(**self._retrying)(again),
        )

    def _named(self) -> Steps[str]:
        if self._model is None:
            told = yield from self._tried(self._connection.models)
            self._model = _first_listed(told, self.url)
        return self._model

    def _messages(self, question: str, hits: Sequence[Hit]) -> list[dict[str, str]]:
        return self.prompt.messages(question, hits, harmless=True)

    def _request(self, messages: Sequence[Mapping[str, str]]) -> Steps[dict[str, Any]]:
        model = yield from self._named()
        return {"model": model, "messages": list(messages), **self._body}

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
