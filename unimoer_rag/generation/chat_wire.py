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
from unimoer_rag.generation.chat_message import (
    choice_of,
    error_in,
    first_logprobs_of,
    reason_of,
    said,
    told,
    transient,
    usage_of,
    words_of,
)
from unimoer_rag.generation.spoken import WholeCharacters
from unimoer_rag.urls import server_of, shown_url

__all__ = ["Reply", "check_response", "transport_errors"]

_QUOTED = 200  # characters of what is no chat completion


@dataclass(slots=True)
class Reply:
    """A model's reply, whole or as much of it as has come.

    Attributes:
        pieces: its text.
        reason: why it ended: "stop", "length" or "content_filter" where these cut it, or another
            word of the server's; None before its end.
        done: the server has said that nothing more comes.
        usage: tokens of the prompt and of the reply, of a reply that came whole; None where the
            server does not tell.
        first_logprobs: the most probable first tokens with their log-probabilities, where these
            were asked for and given.
    """

    pieces: list[str] = field(default_factory=list)
    reason: str | None = None
    done: bool = False
    usage: tuple[int, int] | None = None
    first_logprobs: tuple[tuple[str, float], ...] = ()
    _begun: str = ""  # of an event that goes on in its next line
    _characters: WholeCharacters = field(default_factory=WholeCharacters)

    @classmethod
    def of(cls, body: str | bytes, url: str) -> Reply:
        """The reply that a response's body brings whole.

        Raises:
            GenerationError: the body reports an error, or is no chat completion.
        """
        try:
            event = json.loads(body)
            _check_no_error(event, url, begun=False)
            choice = choice_of(event)
            if choice is None:
                raise TypeError("no choice")
            text = words_of(choice["message"])
            characters = WholeCharacters()
            pieces = [characters.take(text), characters.end()]
            return cls(
                pieces,
                reason_of(choice) or "stop",
                done=True,
                usage=usage_of(event),
                first_logprobs=first_logprobs_of(choice),
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise _nonsense(url, body) from error

    @property
    def text(self) -> str:
        """What has come so far."""
        return "".join(self.pieces)

    @property
    def complete(self) -> bool:
        """Whether the model ended by itself."""
        return self.reason in (None, "stop")

    @property
    def cut_by(self) -> str:
        """Why it is not complete, "" where it is."""
        return "" if self.complete else self.reason or ""

    def take(self, line: str, url: str) -> Iterator[str]:
        """The piece of text in one line of a stream of server-sent events, if there is one.

        An event's data may go on in further lines; servers that leave out the blank line between
        two events are understood as well.

        Raises:
            GeneratorUnavailableError: the line reports an overload, as vLLM does that notices only
                after it has answered with status 200, and no word has come before it.
            GenerationError: it reports another error, or is no part of a chat completion.
        """
        name, _, value = line.partition(":")
        if name == "error":  # as llama.cpp did
            raise GenerationError(f"the server at {shown_url(url)} failed: {said(value)}")
        if name != "data":  # a comment, another field, or the blank line behind an event
            if not line and self._begun:
                raise _nonsense(url, self._begun)
            return
        data = f"{self._begun}\n{value}" if self._begun else value.strip()
        self._begun = ""
        if data.strip('"[] ').casefold() == "done":
            self.done, self.reason = True, self.reason or "stop"
            piece = self._characters.end()
        else:
            piece = self._read(data, url) if data else ""
        if piece:
            self.pieces.append(piece)
            yield piece

    def _read(self, data: str, url: str) -> str:
        """The words of an event."""
        try:
            event: dict[str, Any] | None = json.loads(data)
            if event is None:
                return ""
            _check_no_error(event, url, begun=bool(self.pieces))
            choice = choice_of(event)
            if choice is None:
                return ""
            delta = choice.get("delta")
            words = words_of(choice.get("message") if delta is None else delta)
            self.reason = reason_of(choice) or self.reason
        except json.JSONDecodeError as error:
            if error.pos >= len(data.rstrip()):
                self._begun = data
                return ""
            raise _nonsense(url, data) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _nonsense(url, data) from error
        piece = self._characters.take(words)
        return piece if self.reason is None else piece + self._characters.end()

    def check_ended(self, url: str) -> None:
        """Raise if the stream ended before the reply did.

        Raises:
            GeneratorUnavailableError: before its first word.
            GenerationError: after it.
        """
        if self.reason is not None:
            return
        if self.pieces:
            raise _broke_off(url, self, "it hung up")
        raise GeneratorUnavailableError(
            f"the server at {shown_url(url)} ended its stream before the first event with a word "
            "in it: try later, or correct the URL if it is no server with OpenAI's interface"
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
    status, shown = response.status_code, shown_url(url)
    if response.is_success:
        return
    if transient(status):
        raise GeneratorUnavailableError(_busy(url, f"status {status}: {said(text)}"))
    if status in (401, 403):
        raise GeneratorRefusedError(
            f"the server at {shown} refused the API key: give the right one"
        )
    if status == httpx.codes.NOT_FOUND:
        raise GeneratorRefusedError(
            f"the server at {shown} has no such model or page ({said(text)}): compare the model's "
            f"name with {shown}/models; the URL usually ends in /v1"
        )
    if response.has_redirect_location:
        elsewhere = server_of(response.headers["location"]) or "another page of it"
        raise GeneratorRefusedError(
            f"the server at {shown} sends requests on to {elsewhere} (status {status}): nothing "
            "was sent there; give that URL if it is the right one"
        )
    raise GeneratorRefusedError(
        f"the server at {shown} refused the request (status {status}): {said(text)}"
    )


@contextmanager
def transport_errors(url: str, reply: Reply | None = None) -> Iterator[None]:
    """Turn what httpx raises into this library's errors.

    Args:
        url: of the server.
        reply: what has come already, where its stream is being read; a connection that ends after
            the reply has ended is no error.
    """
    try:
        yield
    except httpx.RequestError as error:
        if reply is not None and reply.reason is not None:
            return
        reason = f"{type(error).__name__}: {error}"
        if reply is not None and reply.pieces:  # which cannot be taken back to try again
            raise _broke_off(url, reply, reason) from error
        raise GeneratorUnavailableError(
            f"no chat server answers at {shown_url(url)} ({reason}): start it, or correct the URL"
        ) from error


def _check_no_error(event: Any, url: str, *, begun: bool) -> None:
    """Raise what an event reports; an overload is worth another try if no word has come before."""
    first = event[0] if isinstance(event, list) and event else event
    error = error_in(first)
    if error is None:
        return
    if not begun and isinstance(error, dict) and transient(error.get("code")):
        raise GeneratorUnavailableError(_busy(url, told(error)))
    raise GenerationError(f"the server at {shown_url(url)} failed: {told(error)}")


def _busy(url: str, reason: str) -> str:
    return (
        f"the server at {shown_url(url)} cannot answer now ({reason}): try later, or send it fewer "
        "requests at a time"
    )


def _broke_off(url: str, reply: Reply, reason: str) -> GenerationError:
    n = len(reply.text)
    return GenerationError(
        f"the server at {shown_url(url)} broke off after {n} characters ({reason})"
    )


def _nonsense(url: str, body: str | bytes) -> GenerationError:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    return GenerationError(
        f"what answers at {shown_url(url)} is no chat completion: {text[:_QUOTED]!r}; expected "
        "OpenAI's interface"
    )
