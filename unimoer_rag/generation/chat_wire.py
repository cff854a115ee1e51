"""What a chat server sends, and what its failures mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from unimoer_rag.errors import (
    GenerationError,
    GeneratorRefusedError,
    GeneratorUnavailableError,
)

__all__ = ["Reply", "check_first", "check_response", "is_event", "transport_errors"]

# Worth another try: the server is overloaded, starting, or behind a proxy that does not reach it.
_TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504)


@dataclass(slots=True)
class Reply:
    """A model's reply, whole or as much of it as has come.

    Attributes:
        pieces: its text.
        reason: why it ended: "stop", or "length" where a limit cut it; None before its end.
    """

    pieces: list[str] = field(default_factory=list)
    reason: str | None = None

    @classmethod
    def of(cls, response: httpx.Response, url: str) -> Reply:
        """The reply that a response brings whole.

        Raises:
            GenerationError: the response is no chat completion.
        """
        try:
            choice = response.json()["choices"][0]
            text = _text(choice["message"]["content"])
            return cls([text], choice.get("finish_reason") or "stop")
        except (ValueError, LookupError, TypeError) as error:
            raise _nonsense(url, response.text) from error

    @property
    def text(self) -> str:
        """What has come so far."""
        return "".join(self.pieces)

    @property
    def complete(self) -> bool:
        """Whether the model ended by itself."""
        return self.reason != "length"

    def take(self, line: str, url: str) -> Iterator[str]:
        """The piece of text in one line of a stream of server-sent events, if there is one.

        Raises:
            GenerationError: the line reports an error, or is no part of a chat completion.
        """
        if not is_event(line):
            return
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self.reason = self.reason or "stop"
            return
        try:
            event: dict[str, Any] = json.loads(data)
            if "error" in event:
                raise GenerationError(f"the server at {url} failed: {_said(data)}")
            choices = event["choices"]  # empty where the event tells of usage alone
            piece = _text(choices[0]["delta"].get("content")) if choices else ""
            self.reason = (choices[0].get("finish_reason") if choices else None) or self.reason
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _nonsense(url, data) from error
        if piece:
            self.pieces.append(piece)
            yield piece

    def check_ended(self, url: str) -> None:
        """Raise if the stream ended before the reply did.

        Raises:
            GenerationError: it did.
        """
        if self.reason is None:
            raise _broke_off(url, self, "it hung up")


def is_event(line: str) -> bool:
    """Whether a line of a stream is an event: others are comments and the blanks between."""
    return line.startswith("data:")


def check_first(line: str, url: str) -> None:
    """Raise if a stream begins with an error that another try may not meet, or not at all.

    vLLM reports an overload so that it notices after it has answered with status 200.

    Args:
        line: the stream's first event, "" where it has none.
        url: of the server, for messages.

    Raises:
        GeneratorUnavailableError: it does.
    """
    if not line:
        raise GeneratorUnavailableError(
            f"the server at {url} ended its stream before the first event: try later, or correct "
            "the URL if it is no server with OpenAI's interface"
        )
    data = line.removeprefix("data:").strip()
    try:
        error = json.loads(data)["error"]
        transient = error["code"] in _TRANSIENT
    except (ValueError, LookupError, TypeError):
        return  # no error, or one for `Reply.take` to report
    if transient:
        raise GeneratorUnavailableError(
            f"the server at {url} cannot answer now ({_said(data)}): try later, or send it fewer "
            "requests at a time"
        )


def check_response(response: httpx.Response, url: str, text: str) -> None:
    """Raise what a response's status means, unless it is a success.

    Args:
        response: of the server.
        url: of its interface, for messages.
        text: the response's body.

    Raises:
        GeneratorUnavailableError: another try may succeed.
        GeneratorRefusedError: none will.
    """
    status = response.status_code
    if response.is_success:
        return
    if status in _TRANSIENT:
        raise GeneratorUnavailableError(
            f"the server at {url} cannot answer now (status {status}: {_said(text)}): try later, "
            "or send it fewer requests at a time"
        )
    if status in (401, 403):
        raise GeneratorRefusedError(f"the server at {url} refused the API key: give the right one")
    if status == httpx.codes.NOT_FOUND:
        raise GeneratorRefusedError(
            f"the server at {url} has no such model or page ({_said(text)}): compare the model's "
            f"name with {url}/models; the URL usually ends in /v1"
        )
    raise GeneratorRefusedError(
        f"the server at {url} refused the request (status {status}): {_said(text)}"
    )


@contextmanager
def transport_errors(url: str, reply: Reply | None = None) -> Iterator[None]:
    """Turn what httpx raises into this library's errors.

    Args:
        url: of the server.
        reply: what has come already, where its stream is being read.
    """
    try:
        yield
    except httpx.RequestError as error:
        reason = f"{type(error).__name__}: {error}"
        if reply is not None:  # some of it is out, so that it cannot be tried again
            raise _broke_off(url, reply, reason) from error
        raise GeneratorUnavailableError(
            f"no chat server answers at {url} ({reason}): start it, or correct the URL"
        ) from error


def _broke_off(url: str, reply: Reply, reason: str) -> GenerationError:
    n = len(reply.text)
    return GenerationError(f"the server at {url} broke off after {n} characters ({reason})")


def _nonsense(url: str, text: str) -> GenerationError:
    return GenerationError(
        f"what answers at {url} is no chat completion: {text[:200]!r}; expected OpenAI's interface"
    )


def _text(content: object) -> str:
    """The content of a message; servers send none, or null, where there are no words."""
    if not isinstance(content, str | None):
        raise TypeError(f"content is {type(content).__name__}")
    return content or ""


def _said(text: str) -> str:
    """The message in an error's body, in whichever of the usual places it is."""
    try:
        found = json.loads(text)
        inner = found.get("error", found)
        message = inner.get("message", inner) if isinstance(inner, dict) else inner
    except (ValueError, AttributeError):
        message = text
    return str(message).strip()[:300] or "no reason given"
