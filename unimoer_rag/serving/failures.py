"""Errors as a client gets them: in OpenAI's shape, and without paths, keys or addresses.

| status | type | what it is |
|---|---|---|
| 400, 404, 405, 422 | `invalid_request_error` | the request |
| 401 | `authentication_error` | no key, or one that is not known |
| 403 | `permission_error` | the key may not do it |
| 408, 413 | `invalid_request_error` | the body: it does not come, or is too large |
| 429 | `rate_limit_error` | too many requests at once; `Retry-After` says when to come again |
| 500 | `server_error` | a bug; the server's log has it |
| 502 | `server_error` | who words the answers failed or refused |
| 503 | `server_error` | the index or who words the answers is away for now, or the server stops |

What the message leaves out, the server's log says.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from unimoer_rag.errors import (
    GenerationError,
    GeneratorRefusedError,
    GeneratorUnavailableError,
    InputError,
    MissingExtraError,
    StoredIndexError,
    StoreError,
    UnimoerError,
)

__all__ = ["Json", "RequestError", "add_handlers", "error_body", "told"]

_log = logging.getLogger("unimoer_rag.serving")

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_AGAIN = {"Retry-After": "1"}


class Json(JSONResponse):
    """JSON of whatever text there is: what UTF-8 cannot hold becomes a question mark."""

    def render(self, content: Any) -> bytes:
        """The bytes."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: for the client.
        param: the request's field that it is about.
        code: a word for programs.
        headers: beside the body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        again = _AGAIN if status in (429, 503) else {}
        self.status, self.param, self.code = status, param, code
        self.headers = {**again, **(headers or {})}

    @property
    def response(self) -> Response:
        """It as a response."""
        return Json(error_body(self), status_code=self.status, headers=self.headers)


def error_body(refused: RequestError) -> dict[str, Any]:
    """The JSON of an error, as OpenAI has it."""
    other = "server_error" if refused.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": str(refused),
            "type": _TYPES.get(refused.status, other),
            "param": refused.param,
            "code": refused.code,
        }
    }


def told(error: Exception, hidden: Mapping[str, str]) -> RequestError:
    """What a client is told of an error of the library.

    Args:
        error: what was raised.
        hidden: what no message may show, such as the index's folder, and what stands for it.
    """
    match error:
        case RequestError():
            return error
        case InputError():
            return RequestError(422, _without(str(error), hidden))
        case MissingExtraError():
            return RequestError(501, str(error))
    _log.warning("%s: %s", type(error).__name__, error)
    match error:
        case StoreError() | StoredIndexError():
            return RequestError(503, "the index cannot be asked now", code="index_unavailable")
        case GeneratorUnavailableError():
            return RequestError(503, "who words the answers is away for now", code="generator")
        case GeneratorRefusedError():
            return RequestError(502, "who words the answers refused this", code="generator")
        case GenerationError():
            return RequestError(502, "who words the answers failed", code="generator")
    return RequestError(500, "the server failed; its log says how")


def _without(text: str, hidden: Mapping[str, str]) -> str:
    if not hidden:
        return text
    longest_first = sorted(map(re.escape, hidden), key=len, reverse=True)
    secrets = rf"(?<!\w)({'|'.join(longest_first)})(?!\w)"
    return re.sub(secrets, lambda found: hidden[found[0]], text)


def add_handlers(app: FastAPI, hidden: Mapping[str, str]) -> None:
    """Give an application the answers to all that can be raised."""

    async def ours(_: Request, error: Exception) -> Response:
        return told(error, hidden).response

    async def of_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return RequestError(error.status_code, str(error.detail), headers=error.headers).response

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _invalid(error.errors()).response

    async def bug(_: Request, error: Exception) -> Response:
        return RequestError(500, "the server failed; its log says how").response

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        RequestError: ours,
        UnimoerError: ours,
        HTTPException: of_http,
        RequestValidationError: invalid,
        Exception: bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _invalid(errors: Sequence[Any]) -> RequestError:
    """What is wrong with a request's fields, without what stood there."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return RequestError(400, "the body is no JSON", code="invalid_json")
    where = ".".join(str(part) for part in first["loc"][1:])
    said = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return RequestError(422, f"{where or 'the body'}: {said}{more}", param=where or None)
