"""Scores of pairs and labels of texts, as clients of vLLM and text-embeddings-inference ask."""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from numpy.typing import NDArray

from unimoer_rag.serving.failures import Json, RequestError
from unimoer_rag.serving.schemas import ClassifyRequest, PredictRequest, ScoreRequest
from unimoer_rag.serving.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter()

    @router.post("/v1/score")
    @router.post("/score", include_in_schema=False)
    async def score(request: ScoreRequest) -> Response:
        """Relevance of pairs, each for itself: one text with each of several, or two by two.

        `/v1/rerank` may score otherwise, where a document's score depends on the others.
        """
        name = service.check_model(request.model)
        found = await service.inference.score(_pairs(request))
        data = [
            {"index": at, "object": "score", "score": float(score)}
            for at, score in enumerate(found.scores)
        ]
        return Json(_listed("score", name, data, found.n_tokens))

    @router.post("/v1/classify")
    @router.post("/classify", include_in_schema=False)
    async def classify(request: ClassifyRequest) -> Response:
        """Each text's most probable label, by a task of the checkpoint that has labels."""
        name = service.check_model(request.model)
        texts = [request.input] if isinstance(request.input, str) else request.input
        labels, found = await service.inference.classify(texts, None, request.task, name="input")
        data = [
            {
                "index": at,
                "label": labels[int(probs.argmax())],
                "probs": probs.tolist(),
                "num_classes": len(labels),
            }
            for at, probs in enumerate(found.scores)
        ]
        return Json(_listed("classify", name, data, found.n_tokens))

    @router.post("/predict")
    async def predict(request: PredictRequest) -> Response:
        """Probabilities of all labels, as text-embeddings-inference has them.

        `inputs` is a text, a pair of two texts, or a list of lists of one or two.
        """
        given = request.inputs
        one = isinstance(given, str) or not given or isinstance(given[0], str)
        rows: list[list[str]] = [[given] if isinstance(given, str) else given] if one else given  # type: ignore[list-item,assignment]
        texts, pairs = _columns(rows)
        labels, found = await service.inference.classify(texts, pairs, request.task, name="inputs")
        answers = [_by_score(labels, probs) for probs in found.scores]
        return Json(answers[0] if one else answers)

    return router


def _listed(kind: str, name: str, data: list[dict[str, Any]], n_tokens: int) -> dict[str, Any]:
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": name,
        "data": data,
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    }


def _pairs(request: ScoreRequest) -> list[tuple[str, str]]:
    """Each pair of a query and a text."""
    first = [request.text_1] if isinstance(request.text_1, str) else request.text_1
    second = [request.text_2] if isinstance(request.text_2, str) else request.text_2
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise RequestError(
            422,
            f"{len(first)} texts and {len(second)} texts: expected one first text, or as many as "
            "second ones",
            param="text_1",
        )
    return list(zip(first, second, strict=True))


def _columns(rows: list[list[str]]) -> tuple[list[str], list[str] | None]:
    """The first texts and, where there are any, the second ones."""
    widths = {len(row) for row in rows}
    if widths - {1, 2} or len(widths) != 1:
        raise RequestError(
            422,
            "inputs: expected a text, two texts, or a list of lists that all have one, or all two",
            param="inputs",
        )
    return [row[0] for row in rows], [row[1] for row in rows] if widths == {2} else None


def _by_score(labels: tuple[str, ...], probs: NDArray[np.float32]) -> list[dict[str, Any]]:
    order = np.argsort(-probs, kind="stable")
    return [{"label": labels[at], "score": float(probs[at])} for at in order]
