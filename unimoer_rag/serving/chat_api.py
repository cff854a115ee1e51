"""OpenAI's chat interface: the last message is the question, the index answers it.

The citations are the message's annotations: `url_citation` has the document's source in the place
of a URL, and beside it `passage` says where in the document the words stand. The user's last
message is asked, as a question of its own where it follows on those before it; sampling parameters
are passed over.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from unimoer_rag.errors import UnimoerError
from unimoer_rag.pipelines import NO_ANSWER, Answer
from unimoer_rag.serving.failures import Json, RequestError, error_body, told
from unimoer_rag.serving.schemas import ChatRequest
from unimoer_rag.serving.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix="/v1")

    @router.post("/chat/completions")
    async def completions(request: ChatRequest) -> Response:
        """An answer from the index as a chat message, whole or streamed."""
        name = service.check_model(request.model)
        question, history = _asked(request)
        pieces = service.stream(question, request, history)
        reply = _Reply(service, name, question)
        if not request.stream:
            answer = [piece async for piece in pieces][-1]
            return Json(reply.whole(cast(Answer, answer)))
        # What is refused is refused by its status, as long as nothing has been sent.
        first = await anext(pieces)
        usage = request.stream_options is not None and request.stream_options.include_usage
        return StreamingResponse(
            reply.events(first, pieces, usage=usage),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )

    return router


def _asked(request: ChatRequest) -> tuple[str, list[dict[str, str]]]:
    """The question, and the messages before it."""
    said = [{"role": one.role, "content": one.said} for one in request.messages]
    asked = [at for at, one in enumerate(said) if one["role"] == "user"]
    question = said[asked[-1]]["content"] if asked else ""
    if not question.strip():
        raise RequestError(
            422, "messages: expected a question in the last message of the user", param="messages"
        )
    return question, said[: asked[-1]]


class _Reply:
    """One reply on its way."""

    def __init__(self, service: Service, model: str, question: str) -> None:
        self._service, self._question = service, question
        self._about = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, answer: Answer) -> dict[str, Any]:
        """All of it at once."""
        self._service.metrics.spent(answer.timings)
        message = {
            "role": "assistant",
            "content": answer.text or NO_ANSWER,
            "refusal": None,
            "annotations": _annotations(answer),
        }
        choice = {"index": 0, "message": message, "finish_reason": _reason(answer)}
        return {
            **self._about,
            "object": "chat.completion",
            "choices": [{**choice, "logprobs": None}],
            "usage": self._usage(answer),
            "answer": answer.to_dict(),
        }

    async def events(
        self, first: str | Answer, rest: AsyncIterator[str | Answer], *, usage: bool
    ) -> AsyncIterator[bytes]:
        """It in pieces, as server-sent events."""
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async with aclosing(cast(Any, rest)):
                piece: str | Answer = first
                while isinstance(piece, str):
                    yield self._chunk({"content": piece})
                    piece = await anext(rest)
        except UnimoerError as error:
            yield _event(error_body(told(error, self._service.hidden)))
            return
        self._service.metrics.spent(piece.timings)
        if piece.text is None:
            yield self._chunk({"content": NO_ANSWER})
        end = {"annotations": _annotations(piece)}
        yield self._chunk(end, reason=_reason(piece), answer=piece.to_dict())
        if usage:
            chunk = {**self._about, "object": "chat.completion.chunk", "choices": []}
            yield _event({**chunk, "usage": self._usage(piece)})
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        about = {**self._about, "object": "chat.completion.chunk"}
        return _event({**about, "choices": [choice], **more})

    def _usage(self, answer: Answer) -> dict[str, int]:
        """The question and the passages read, and the answer, by the model's tokenizer."""
        count = self._service.count_tokens
        read = count(self._question, *(hit.passage.content for hit in answer.hits))
        said = count(answer.text or "")
        return {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}


def _annotations(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": citation.hit.source,
                "title": citation.hit.title or citation.hit.source,
                "start_index": 0,  # the whole answer rests on it
                "end_index": len(answer.text or ""),
            },
            "passage": citation.to_dict(),
        }
        for citation in answer.citations
    ]


def _reason(answer: Answer) -> str:
    known = answer.cut_by in ("length", "content_filter")
    return answer.cut_by if not answer.complete and known else "stop"


def _event(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode("utf-8", "replace")
