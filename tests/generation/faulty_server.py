"""A chat server that does what a test tells it, request by request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from http_thread import running

__all__ = ["Faulty", "faulty_server", "status", "stream", "whole"]

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Faulty:
    """What the server does with each completion request, and what it saw.

    Attributes:
        url: of the interface.
        models: that it says it serves.
        answers: for the next requests, in order; the last one serves all further ones.
        requests: bodies, in order of arrival.
        headers: of the last request.
        paths: that were asked for, in order of arrival.
        most: requests under way at the same time, at most.
        hung_up: set when a client left in the middle of a stream.
    """

    url: str = ""
    models: list[str] = field(default_factory=lambda: ["tiny", "other"])
    answers: list[Answer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    most: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)


@contextmanager
def faulty_server() -> Iterator[Faulty]:
    told, lock, now = Faulty(), threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.headers = dict(self.headers)
            _send(self, 200, {"data": [{"id": name} for name in told.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                told.requests.append(body)
                told.headers = dict(self.headers)
                told.paths.append(self.path)
                self.under_way = True
                now[0] += 1
                told.most = max(told.most, now[0])
                answer = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                told.hung_up.set()
            finally:
                self.leave()

        def leave(self) -> None:
            """Count as done: before a whole reply is sent, which frees its client for the next."""
            with lock:
                now[0] -= getattr(self, "under_way", False)
                self.under_way = False

        def log_message(self, *args: object) -> None:
            """Tests want their output to themselves."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        told.url = f"{address}/v1"
        yield told


def _send(handler: BaseHTTPRequestHandler, code: int, body: object) -> None:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    getattr(handler, "leave", bool)()
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def status(code: int, body: object = "") -> Answer:
    """An answer of this status."""
    return lambda handler: _send(handler, code, body)


def whole(text: str | None, *, reason: str = "stop", after: float = 0.0) -> Answer:
    """A complete chat completion, after some seconds."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(after)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
        _send(handler, 200, {"choices": [choice]})

    return answer


def stream(*pieces: str, end: str = "stop", every: float = 0.0) -> Answer:
    """A stream of pieces; `end` is its finish reason, or "" to hang up without one."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b": a comment\n\n")
        for piece in pieces:
            _event(handler, {"choices": [{"delta": {"content": piece}, "finish_reason": None}]})
            time.sleep(every)
        if end:
            _event(handler, {"choices": [{"delta": {}, "finish_reason": end}]})
            _event(handler, {"choices": [], "usage": {"total_tokens": 3}})
            handler.wfile.write(b"data: [DONE]\n\n")

    return answer


def _event(handler: BaseHTTPRequestHandler, event: object) -> None:
    handler.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
    handler.wfile.flush()
