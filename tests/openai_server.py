"""A small server with OpenAI's chat interface, for tests of what talks to one.

Its "model" is this library's own reader: it answers the last "Question:" (or the first message of
the user) out of the passages in the conversation, streamed or whole, naming the passage where they
are numbered. Given tools, it first calls the first of them with the question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from http_thread import running

from unimoer_rag.engine import SharedModel
from unimoer_rag.generation.types import THRESHOLD

__all__ = ["chat_server"]

_UNKNOWN = "NO ANSWER"


@contextmanager
def chat_server() -> Iterator[str]:
    """Serve on a free port; gives the base URL."""
    with running(ThreadingHTTPServer(("127.0.0.1", 0), _Handler)) as address:
        yield f"{address}/v1"


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)


def _message(request: dict[str, Any]) -> dict[str, Any]:
    """The assistant's next message."""
    messages = request["messages"]
    asked = next(_text(m) for m in messages if m["role"] == "user")
    before, marker, question = asked.rpartition("Question:")
    passages = before if marker else "\n\n".join(_text(m) for m in messages if m["role"] == "tool")
    if request.get("tools") and not passages:
        function = request["tools"][0]["function"]
        argument = next(iter(function["parameters"]["properties"]))
        call = {"name": function["name"], "arguments": json.dumps({argument: question.strip()})}
        calls = [{"index": 0, "id": "call_0", "type": "function", "function": call}]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    return {"role": "assistant", "content": _answer(question.strip(), passages)}


def _answer(question: str, passages: str) -> str:
    parts = [part for part in re.split(r"\n\s*\n", passages) if part.strip()]
    if not parts:
        return _UNKNOWN
    numbered = [re.match(r"(?:.*\n)?(\[\d+\]) (.*)", part.strip(), re.DOTALL) for part in parts]
    texts = [n[2] if n else part for n, part in zip(numbered, parts, strict=True)]
    engine = SharedModel("unimoer-minilm").engine
    found = zip(engine.read(question, texts), engine.rank(question, texts), numbered, strict=True)
    best, relevance, number = max(found, key=lambda one: one[0].confidence(one[1]))
    if best.confidence(relevance) < THRESHOLD:
        return _UNKNOWN
    return f"{best.text} {number[1]}" if number else best.text


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [{"id": "reader", "object": "model"}]})
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self.send_error(404)
            return
        message = _message(request)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        self.send_response(200)
        if request.get("stream"):
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for delta in (*_deltas(message), {}):
                self._event(request, delta, None if delta else reason)
            self.wfile.write(b"data: [DONE]\n\n")
            return
        body = json.dumps(
            _reply(request, "chat.completion", {"message": message, "finish_reason": reason})
        ).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _event(self, request: dict[str, Any], delta: dict[str, Any], reason: str | None) -> None:
        choice = {"delta": delta, "finish_reason": reason}
        chunk = _reply(request, "chat.completion.chunk", choice)
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *args: object) -> None:
        """Tests want their output to themselves."""


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A message in pieces: a word each, tool calls whole."""
    if message.get("tool_calls"):
        yield message
        return
    yield {"role": "assistant", "content": ""}
    for piece in re.findall(r"\S+\s*", message["content"]):
        yield {"content": piece}


def _reply(request: dict[str, Any], kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return {
        "id": "chat-0",
        "object": kind,
        "created": 0,
        "model": request["model"],
        "choices": [{"index": 0, **choice}],
        **({"usage": usage} if kind == "chat.completion" else {}),
    }
