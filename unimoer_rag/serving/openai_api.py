"""OpenAI's interface: embeddings and models."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from numpy.typing import NDArray

from unimoer_rag.model import Side
from unimoer_rag.serving.failures import Json, RequestError
from unimoer_rag.serving.inference import Vectors
from unimoer_rag.serving.schemas import EmbeddingRequest
from unimoer_rag.serving.service import Service

__all__ = ["routes"]

_Input = str | list[str] | list[int] | list[list[int]]


def routes(service: Service, created: int) -> APIRouter:
    """The endpoints.

    Args:
        service: what answers.
        created: when the server began, in seconds since 1970.
    """
    router = APIRouter(prefix="/v1")

    def model(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created, "owned_by": "unimoer-rag"}

    @router.get("/models")
    async def models() -> Response:
        """The names of the served model."""
        return Json({"object": "list", "data": [model(name) for name in service.names]})

    @router.get("/models/{name:path}")
    async def one_model(name: str) -> Response:
        """One of them."""
        return Json(model(service.check_model(name)))

    @router.post("/embeddings")
    async def embeddings(request: EmbeddingRequest) -> Response:
        """Texts as vectors of length 1.

        They are documents unless `input_type` says that they are queries, which some models tell
        apart. `truncated` counts those that were too long and lost their end.
        """
        name = service.check_model(request.model)
        side: Side = "query" if request.input_type.endswith("query") else "document"
        texts = await asyncio.to_thread(_texts, request.input, service)
        found = await service.inference.embed(texts, side, request.dimensions)
        coded = request.encoding_format == "base64"
        # Writing a million numbers takes a while: not on the event loop.
        return await asyncio.to_thread(_embeddings, found, name, coded=coded)

    return router


def _embeddings(found: Vectors, name: str, *, coded: bool) -> Response:
    shown: Sequence[Any] = _base64(found.vectors) if coded else found.vectors.tolist()
    return Json(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": at, "embedding": vector}
                for at, vector in enumerate(shown)
            ],
            "model": name,
            "usage": {"prompt_tokens": found.n_tokens, "total_tokens": found.n_tokens},
            "truncated": found.n_truncated,
        }
    )


def _base64(vectors: NDArray[np.float32]) -> list[str]:
    """Each as its float32 numbers, little endian."""
    return [base64.b64encode(one.astype("<f4").tobytes()).decode("ascii") for one in vectors]


def _texts(given: _Input, service: Service) -> list[str]:
    """The texts of a request; those given as ids of the model's own tokenizer are decoded."""
    if not given and not isinstance(given, str):
        raise RequestError(422, "input: expected at least one text", param="input")
    if isinstance(given, str) or isinstance(given[0], int):
        given = cast("list[str] | list[list[int]]", [given])
    several = cast("list[str | list[int]]", given)
    return [one if isinstance(one, str) else _decoded(one, service) for one in several]


def _decoded(ids: Sequence[int], service: Service) -> str:
    tokenizer = service.model.tokenizer
    if ids and max(ids) >= len(tokenizer):
        raise RequestError(
            422,
            f"input: token {max(ids)} is none of the model's {len(tokenizer):,}: ids are those of "
            "the served model's own tokenizer; or give texts",
            param="input",
        )
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))
