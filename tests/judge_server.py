"""A small server with OpenAI's chat interface that judges as ragas asks it to, for tests.

Its verdicts follow from the texts: a context supports a statement that it holds word by word.
Of the question "silent?" it finds no statements, and on "garbled?" it does not reply in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from http_thread import running

__all__ = ["Judging", "judge_server"]

MODEL = "judge"


@dataclass
class Judging:
    """A running server.

    Attributes:
        url: of its interface.
        keys: the bearer tokens that came, in order.
        models: the models that were asked.
    """

    url: str
    keys: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


@contextmanager
def judge_server() -> Iterator[Judging]:
    """Serve on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    judging = Judging(f"http://127.0.0.1:{server.server_port}/v1")
    server.judging = judging  # type: ignore[attr-defined]
    with running(server):
        yield judging


def _verdict(messages: list[dict[str, Any]]) -> str:
    """What is asked is the last JSON object of the prompt; the schema tells what is wanted."""
    prompt = next(m["content"] for m in messages if m["role"] == "user")
    asked, _ = json.JSONDecoder().raw_decode(
        prompt[prompt.rindex("input:") :].split(":", 1)[1].lstrip()
    )
    if asked.get("question") == "garbled?":
        return "I would rather not say."
    if "statements" in asked:
        return json.dumps(
            {"statements": [_supported(s, asked["context"]) for s in asked["statements"]]}
        )
    if "response" in asked:
        return json.dumps({"question": f"{asked['response']}?", "noncommittal": 0})
    if "context" not in asked:
        answer = asked["answer"] if asked["question"] != "silent?" else ""
        return json.dumps({"statements": [part for part in answer.split(". ") if part]})
    if "classifications" in json.dumps(messages):
        found = _supported(asked["answer"], asked["context"])
        return json.dumps({"classifications": [{**found, "attributed": found["verdict"]}]})
    return json.dumps(_supported(asked["answer"], asked["context"]))


def _supported(statement: str, context: str) -> dict[str, Any]:
    return {"statement": statement, "reason": "word by word", "verdict": int(statement in context)}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._reply({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        judging: Judging = self.server.judging  # type: ignore[attr-defined]
        judging.keys.append(self.headers["Authorization"])
        judging.models.append(request["model"])
        message = {"role": "assistant", "content": _verdict(request["messages"])}
        self._reply(
            {
                "id": "judged",
                "object": "chat.completion",
                "created": 0,
                "model": request["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            }
        )

    def _reply(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Tests want their output to themselves."""
