"""A server with OpenAI's chat interface whose model is a tiny real decoder of transformers.

It tells the log-probabilities of the first token as vLLM does; tests have it refuse to, leave them
out, fail, or say something else.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import torch
from http_thread import running
from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["LlmServer", "llm_server"]


@dataclass
class LlmServer:
    """What it does, and what it saw.

    Attributes:
        url: of the interface.
        logprobs: whether it gives those that are asked for, leaves them out, or refuses them.
        usage: whether it counts tokens.
        said: what it says in place of its model's words.
        failing: statuses of the next requests, before it answers any.
        slow: seconds of each answer.
        requests: bodies, in order of arrival.
        most: requests under way at the same time, at most.
    """

    url: str = ""
    logprobs: Literal["given", "left out", "refused"] = "given"
    usage: bool = True
    said: str | None = None
    failing: list[int] = field(default_factory=list)
    slow: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    most: int = 0


@contextmanager
def llm_server(folder: Path) -> Iterator[LlmServer]:
    told, lock, now = LlmServer(), threading.Lock(), [0]
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send(200, {"data": [{"id": "tiny"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                told.requests.append(body)
                now[0] += 1
                told.most = max(told.most, now[0])
                failing = told.failing.pop(0) if told.failing else None
            time.sleep(told.slow)
            with lock:
                now[0] -= 1
                if failing is not None:
                    self.send(failing, {"error": {"message": "not now"}})
                elif body.get("logprobs") and told.logprobs == "refused":
                    self.send(400, {"error": {"message": "logprobs are not supported"}})
                else:
                    self.send(200, self.completion(body))

        @torch.inference_mode()
        def completion(self, body: dict[str, Any]) -> dict[str, Any]:
            text = tokenizer.apply_chat_template(
                body["messages"], tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            prompt = tokenizer(text, return_tensors="pt", add_special_tokens=False)
            n = prompt["input_ids"].shape[1]
            whole = model.generate(**prompt, max_new_tokens=body["max_tokens"], do_sample=False)
            words = told.said if told.said is not None else tokenizer.decode(whole[0, n:])
            choice: dict[str, Any] = {
                "index": 0,
                "message": {"role": "assistant", "content": words},
                "finish_reason": "length",
            }
            if body.get("logprobs") and told.logprobs == "given":
                logprobs = torch.log_softmax(model(**prompt).logits[0, -1].double(), 0)
                best = logprobs.topk(min(body["top_logprobs"], len(logprobs)))
                top = [
                    {"token": tokenizer.decode([token]), "logprob": value}
                    for value, token in zip(*(one.tolist() for one in best), strict=True)
                ]
                choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
            counts = {"prompt_tokens": n, "completion_tokens": whole.shape[1] - n}
            return {"choices": [choice], **({"usage": counts} if told.usage else {})}

        def send(self, code: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Tests want their output to themselves."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        told.url = f"{address}/v1"
        yield told
