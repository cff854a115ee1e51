"""The servers that `bench serve` asks, each in a process of its own.

python -m unimoer_rag.lab.bench.serve_side ours '{"checkpoint": ..., "dtype": ...}'
python -m unimoer_rag.lab.bench.serve_side plain '{"embedder": ..., "cross_encoder": ...}'

`plain` is what people write first: sentence-transformers behind FastAPI, an endpoint a model, one
request at a time on the processor, as the library's own threads use all of it.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
from typing import Any

from pydantic import BaseModel

__all__ = ["main"]


class Texts(BaseModel):
    """What is embedded, as OpenAI has it."""

    input: list[str]


class Pairs(BaseModel):
    """What is reranked, as Cohere has it."""

    query: str
    documents: list[str]


def ours(settings: dict[str, Any]) -> None:
    """Our server, over an index in memory."""
    from unimoer_rag import RagPipeline, UnifiedRetriever
    from unimoer_rag.serving import ServeSettings, serve

    model = {"device": "cpu", "dtype": settings.get("dtype", "auto")}
    with UnifiedRetriever(settings["checkpoint"], **model) as retriever:
        retriever.add(["A passage."])
        serve(RagPipeline(retriever), ServeSettings(port=0), on_ready=_tell)


def plain(settings: dict[str, Any]) -> None:
    """sentence-transformers behind FastAPI."""
    import uvicorn
    from fastapi import FastAPI

    from unimoer_rag.lab.bench.rivals import sentence_library

    library = sentence_library("the serving benchmark")
    embedder = library.SentenceTransformer(
        settings["embedder"], device="cpu", trust_remote_code=False
    )
    embedder.max_seq_length = settings["embed_tokens"]
    encoder = library.CrossEncoder(
        settings["cross_encoder"],
        device="cpu",
        max_length=settings["rerank_tokens"],
        trust_remote_code=False,
    )
    app, alone = FastAPI(), threading.Lock()

    @app.post("/v1/embeddings")
    def embeddings(asked: Texts) -> dict[str, Any]:
        with alone:
            vectors = embedder.encode(asked.input, normalize_embeddings=True)
        coded = (base64.b64encode(vector.tobytes()).decode() for vector in vectors)
        return {"data": [{"index": at, "embedding": one} for at, one in enumerate(coded)]}

    @app.post("/v1/rerank")
    def rerank(asked: Pairs) -> dict[str, Any]:
        with alone:
            scores = encoder.predict([(asked.query, text) for text in asked.documents])
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        return {"results": [{"index": at, "relevance_score": float(scores[at])} for at in order]}

    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        _tell(f"http://127.0.0.1:{listener.getsockname()[1]}")
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


def _tell(url: str) -> None:
    """Where it is, for whoever started it."""
    print(url, flush=True)


def main(part: str, settings: str) -> None:
    """Serve until the process is told to stop."""
    {"ours": ours, "plain": plain}[part](json.loads(settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
