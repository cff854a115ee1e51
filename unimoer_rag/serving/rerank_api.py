"""Reranking, as clients of Cohere, Jina, Voyage and text-embeddings-inference ask for it."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from unimoer_rag.serving.failures import Json
from unimoer_rag.serving.schemas import RerankRequest, TeiRequest
from unimoer_rag.serving.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter()

    @router.post("/v1/rerank")
    async def first(request: RerankRequest) -> Response:
        """Texts by their relevance for a query: Cohere's first version, Jina's, and Voyage's."""
        return Json(await _ranked(service, request, version="1"))

    @router.post("/v2/rerank")
    async def second(request: RerankRequest) -> Response:
        """The same, as Cohere's second version names it."""
        return Json(await _ranked(service, request, version="2"))

    @router.post("/rerank")
    async def either(request: TeiRequest | RerankRequest) -> Response:
        """The same; given `texts` in place of `documents`, as text-embeddings-inference has it."""
        if isinstance(request, RerankRequest):
            return Json(await _ranked(service, request, version="2"))
        found = await service.inference.rank(request.query, request.texts, top_n=None, name="texts")
        return Json(
            [
                {"index": one.index, "score": one.score}
                | ({"text": request.texts[one.index]} if request.return_text else {})
                for one in found.ranked
            ]
        )

    return router


async def _ranked(service: Service, request: RerankRequest, *, version: str) -> dict[str, Any]:
    name = service.check_model(request.model)
    texts = [one if isinstance(one, str) else one.text for one in request.documents]
    top_n = request.top_k if request.top_n is None else request.top_n
    found = await service.inference.rank(request.query, texts, top_n=top_n, name="documents")
    long = found.n_truncated
    warnings = [f"{long} of the texts were too long and lost their end"] if long else []
    results = [
        {"index": one.index, "relevance_score": one.score}
        | ({"document": {"text": texts[one.index]}} if request.return_documents else {})
        for one in found.ranked
    ]
    return {
        "id": str(uuid.uuid4()),
        "object": "list",
        "model": name,
        "results": results,
        # Voyage's client, which always says `top_k`, looks for them here, and for plain texts.
        **({"data": _of_voyage(results)} if "top_k" in request.model_fields_set else {}),
        "meta": {
            "api_version": {"version": version},
            "tokens": {"input_tokens": found.n_tokens},
            **({"warnings": warnings} if warnings else {}),
        },
        "usage": {"prompt_tokens": found.n_tokens, "total_tokens": found.n_tokens},
    }


def _of_voyage(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**one, "document": one["document"]["text"]} if "document" in one else one
        for one in results
    ]
