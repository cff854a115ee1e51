"""What every request passes before anything is done for it: keys, limits, and who has left.

One layer of ASGI around the application. A body is read whole here, up to a limit, so that what
follows can watch for the client's leaving: its work is cancelled then, in the model's queue too.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unimoer_rag.serving.failures import RequestError
from unimoer_rag.serving.service import Service

__all__ = ["Gate"]

# Answered without a key, and however many requests there are.
_FREE = re.compile(r"/(health|ready|local/[0-9a-f]{32}|favicon\.ico|page/[\w.]+)?")
_WRITES = re.compile(r"/v1/documents(/.*)?")
_LOCAL_HOST = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)
_BODY_SECONDS = 60.0


class Gate:
    """Lets requests through to an application.

    Args:
        app: the application.
        service: what it is of: the limits, and the keys; without any, everybody on this machine
            gets through.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service, self._settings = app, service, service.settings
        self._keys, self._metrics = service.keys, service.metrics
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499  # as nginx has it: the client left

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, sending)
        except RequestError as refused:
            await refused.response(scope, receive, sending)
        finally:
            self._metrics.count(scope, status, time.perf_counter() - started)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _FREE.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        # A browser asks what it may before it sends a key.
        if not (self._settings.cors_origins and scope["method"] == "OPTIONS"):
            self._check_key(scope)
        if self._service.closing:
            raise RequestError(503, "the server is stopping", code="stopping")
        if scope["path"] == "/metrics":  # told most of all where there is too much to do
            await self._app(scope, receive, send)
            return
        if self._running >= self._settings.max_concurrent:
            raise RequestError(
                429,
                f"{self._running} requests are worked on, which is all that this server takes: "
                "come again",
                code="too_many_requests",
            )
        place = _Place(self, send)
        try:
            body = await self._body(scope, receive)
            if body is not None:
                await _until_left(self._app, scope, receive, place.send, body)
        finally:
            place.leave()

    def _count(self, more: int) -> None:
        self._running += more
        self._metrics.running.set(self._running)

    def _check_key(self, scope: Scope) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self._keys:
            # A page of another site can have its name lead here; its host's name tells it.
            if self._settings.is_loopback and not _LOCAL_HOST.fullmatch(headers.get(b"host", "")):
                raise RequestError(
                    403, "this server is for programs of its own machine", code="host"
                )
            scope["unimoer.writes"] = True
            return
        kind, _, key = headers.get(b"authorization", "").partition(" ")
        allowed = self._keys.scope(key.strip())
        if kind.lower() != "bearer" or allowed is None:
            raise RequestError(
                401,
                "a key is needed, as in: Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scope["unimoer.writes"] = allowed == "write"  # for what only the body tells
        writes = scope["method"] not in ("GET", "HEAD") and _WRITES.fullmatch(scope["path"])
        if writes and allowed != "write":
            raise RequestError(403, "this key may read and not write", code="insufficient_scope")

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where the client left."""
        limit = self._settings.max_bytes
        headers: MutableMapping[bytes, Any] = dict(scope["headers"])
        told = headers.get(b"content-length", b"0")
        if told.isdigit() and int(told[:20]) > limit:
            raise _too_large(limit)
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise _too_large(limit)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RequestError(408, "the body did not come in time", code="timeout") from None
        return b"".join(parts)


class _Place:
    """One of the places that a gate has; free again before the client can know that it is done.

    A client that takes the end of an answer as leave to ask again must not meet itself.
    """

    def __init__(self, gate: Gate, send: Send) -> None:
        self._gate, self._send, self._taken = gate, send, True
        gate._count(+1)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.leave()
        await self._send(message)

    def leave(self) -> None:
        if self._taken:
            self._taken = False
            self._gate._count(-1)


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body has more than {limit:,} bytes", code="body_too_large")


async def _until_left(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, body: bytes
) -> None:
    """Run an application on a body that is there; cancel it where the client leaves."""
    waiting = [body]
    left = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def work() -> None:
        await app(scope, again, send)

    working, watching = asyncio.create_task(work()), asyncio.create_task(watch())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watching.cancel()
        if not working.done():
            working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        working.result()  # raises what it raised
