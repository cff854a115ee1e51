"""Clients of a server: so many at once, each waiting for its answer before it asks again."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import UnimoerError
from unimoer_rag.lab.bench.texts import make_passages, make_queries

__all__ = [
    "Request",
    "ask_all",
    "connected",
    "embed_requests",
    "numbers",
    "overload",
    "rerank_requests",
]

Request = tuple[str, dict[str, Any]]
"""A path, and the body that is posted there."""

_PATIENT = httpx.Timeout(600.0)


def embed_requests(
    tokenizer: Any, n: int, texts: int, *, model: str, seed: int = 0
) -> list[Request]:
    """Requests that embed so many texts each, as OpenAI has it."""
    made = iter(make_passages(tokenizer, n * texts, seed))
    told = {"model": model, "encoding_format": "base64"}
    return [
        ("/v1/embeddings", {**told, "input": [next(made) for _ in range(texts)]}) for _ in range(n)
    ]


def rerank_requests(
    tokenizer: Any, n: int, depth: int, *, model: str, seed: int = 0
) -> list[Request]:
    """Requests that rerank so many passages each, as Cohere has it."""
    made = iter(make_passages(tokenizer, n * depth, seed))
    return [
        (
            "/v1/rerank",
            {"model": model, "query": q, "documents": [next(made) for _ in range(depth)]},
        )
        for q in make_queries(tokenizer, n, seed)
    ]


def numbers(answer: Any) -> NDArray[np.float32]:
    """The vectors of an answer, or its scores in the order of the passages."""
    if "data" in answer:
        coded = (base64.b64decode(one["embedding"]) for one in answer["data"])
        return np.stack([np.frombuffer(one, dtype="<f4") for one in coded])
    ranked = sorted(answer["results"], key=lambda one: one["index"])
    return np.array([one["relevance_score"] for one in ranked], dtype=np.float32)


def ask_all(url: str, requests: Sequence[Request], clients: int) -> list[float]:
    """Make all requests by so many clients; gives the seconds that each took.

    Raises:
        UnimoerError: one is answered by anything but 200.
    """
    return asyncio.run(_ask_all(url, requests, clients))


async def _ask_all(url: str, requests: Sequence[Request], clients: int) -> list[float]:
    left, taken = iter(requests), list[float]()

    async def client(http: httpx.AsyncClient) -> None:
        for path, body in left:
            since = time.perf_counter()
            answer = await http.post(path, json=body)
            taken.append(time.perf_counter() - since)
            if answer.status_code != 200:
                raise UnimoerError(f"{path} answers {answer.status_code}: {answer.text[:300]}")

    async with connected(url) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return taken


def overload(url: str, request: Request, n: int) -> Counter[str]:
    """So many requests in the same moment, by what came of them.

    Returns:
        Counts of statuses; those of a 429 without `Retry-After` are called "429 bare".
    """

    async def status(http: httpx.AsyncClient) -> str:
        answer = await http.post(request[0], json=request[1])
        bare = answer.status_code == 429 and "Retry-After" not in answer.headers
        return f"{answer.status_code}{' bare' if bare else ''}"

    async def run() -> Counter[str]:
        async with connected(url) as http:
            return Counter(await asyncio.gather(*(status(http) for _ in range(n))))

    return asyncio.run(run())


def connected(url: str) -> httpx.AsyncClient:
    """As many connections to a server as it takes; none is used again that it may be closing."""
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=None, keepalive_expiry=1.0
    )
    return httpx.AsyncClient(base_url=url, timeout=_PATIENT, limits=limits, trust_env=False)
