"""The connections to a chat server: requests out, bodies and streams in, no secret told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx

from unimoer_rag.errors import GenerationError, InputError, UnimoerError
from unimoer_rag.generation.chat_wire import Reply, check_response, transport_errors
from unimoer_rag.generation.event_lines import lines
from unimoer_rag.steps import Source, Steps, Streamed, either
from unimoer_rag.tls import tls_context
from unimoer_rag.urls import shown_url, shown_urls_in_logs, url_secrets, without_secrets

__all__ = ["ChatConnection"]

_MOST = 16 * 1024**2  # bytes of a body


class ChatConnection:
    """Asks a chat server by steps, from any thread and event loop.

    A redirect is not followed: the key and the question go to the URL that was given.

    Args:
        url: of the interface, such as "http://localhost:8000/v1"; may hold user, password, query.
        api_key: sent as a bearer token.
        timeout: seconds without a sign of life after which a request has failed.
        max_concurrency: requests at a time; further ones wait for their turn.

    Raises:
        InputError: the URL or the key cannot be used.
    """

    def __init__(
        self, url: str, *, api_key: str | None, timeout: float, max_concurrency: int
    ) -> None:
        self.url, self._parsed = url.rstrip("/"), _parsed(url)
        if api_key and not _fits_header(api_key):
            raise InputError(
                "api_key has characters that no HTTP header carries, such as a line's end: give "
                "the key alone"
            )
        self._secrets = [*filter(None, [api_key]), *url_secrets(url)]
        self._settings: dict[str, Any] = {
            "headers": {"Authorization": f"Bearer {api_key}"} if api_key else {},
            # Waiting for a turn is no failure of the server's.
            "timeout": httpx.Timeout(timeout, pool=None),
            "limits": httpx.Limits(max_connections=max_concurrency),
            "follow_redirects": False,
            "verify": tls_context(),
        }
        if url_secrets(url):
            shown_urls_in_logs("httpx")
        self._client = httpx.Client(**self._settings)
        # Connections belong to the event loop that opened them.
        self._aclients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}

    def _page(self, page: str) -> httpx.URL:
        path = self._parsed.path.rstrip("/") + page
        return self._parsed.copy_with(path=path, fragment=None)

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request for a completion."""
        return {"method": "POST", "url": self._page("/chat/completions"), "json": body}

    @contextmanager
    def _telling(self, reply: Reply | None = None) -> Iterator[None]:
        """A block whose failures are this library's errors, in which no secret is quoted."""
        try:
            with transport_errors(self.url, reply):
                yield
        except UnimoerError as error:
            error.args = tuple(without_secrets(str(one), self._secrets) for one in error.args)
            raise

    def _checked(self, response: httpx.Response, body: bytes) -> bytes:
        check_response(response, self.url, body.decode("utf-8", "replace"))
        return body

    def models(self) -> Steps[bytes]:
        """What the server says of its models."""
        return self._body({"method": "GET", "url": self._page("/models")})

    def whole(self, body: dict[str, Any]) -> Steps[Reply]:
        """The reply to a request, once it is whole."""
        found = yield from self._body(self._chat(body))
        with self._telling():
            return Reply.of(found, self.url)

    def words(self, body: dict[str, Any], reply: Reply) -> Streamed[str]:
        """The words of a reply as they come; closing this hangs up.

        Args:
            body: the request's.
            reply: takes in what comes.
        """
        with self._telling(reply):
            response = yield from either(
                self._send, self._asend, self._chat({**body, "stream": True})
            )
            try:
                if not response.is_success:
                    self._checked(response, (yield from _joined(response)))
                response.encoding = "utf-8"  # as events are, whatever the header says
                text = Source(response.iter_text, response.aiter_text)
                found = Source.of(partial(lines, text))
                while not reply.done and (line := (yield from found.next())) is not None:
                    yield from reply.take(line, self.url)
            finally:
                yield from either(response.close, response.aclose)
        with self._telling():
            reply.check_ended(self.url)

    def _body(self, request: dict[str, Any]) -> Steps[bytes]:
        """What comes back on a request."""
        with self._telling():
            response = yield from either(self._send, self._asend, request)
            try:
                return self._checked(response, (yield from _joined(response)))
            finally:
                yield from either(response.close, response.aclose)

    def _send(self, request: dict[str, Any]) -> httpx.Response:
        return self._client.send(self._client.build_request(**request), stream=True)

    async def _asend(self, request: dict[str, Any]) -> httpx.Response:
        client = self._aclient
        return await client.send(client.build_request(**request), stream=True)

    @property
    def _aclient(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._aclients:
            # One connection a loop would add up where every call runs in a loop of its own.
            for ended in [one for one in list(self._aclients) if one.is_closed()]:
                self._aclients.pop(ended, None)
            self._aclients[loop] = httpx.AsyncClient(**self._settings)
        return self._aclients[loop]

    def close(self) -> None:
        """Close the connections of blocking calls."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of blocking calls."""
        client = self._aclients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
        self.close()


def _joined(response: httpx.Response) -> Steps[bytes]:
    """A response's body."""
    body = bytearray()
    chunks = Source(response.iter_bytes, response.aiter_bytes)
    while (chunk := (yield from chunks.next())) is not None:
        body += chunk
        if len(body) > _MOST:
            raise GenerationError(
                f"the server sends more than the {_MOST:,} bytes that any answer takes: see what "
                "it is"
            )
    return bytes(body)


def _parsed(url: str) -> httpx.URL:
    shown = shown_url(url)
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        if url_secrets(url):  # of which the reason may quote a part
            raise InputError(
                f"url is {shown!r} with a user before it: encode its password"
            ) from None
        raise InputError(f"url is {shown!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(f"url is {shown!r}: expected one such as 'http://localhost:8000/v1'")
    return parsed


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()
