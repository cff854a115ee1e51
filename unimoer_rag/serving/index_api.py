"""The index over HTTP: search it, ask it, put documents in and take them out."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from unimoer_rag.generation import ExtractiveReader
from unimoer_rag.model import is_untrained
from unimoer_rag.retrieval import Document
from unimoer_rag.serving.failures import Json
from unimoer_rag.serving.schemas import (
    AskRequest,
    DeleteRequest,
    DocumentsRequest,
    ExplainRequest,
    SearchRequest,
)
from unimoer_rag.serving.service import Service
from unimoer_rag.serving.uploads import read_upload

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix="/v1")

    @router.post("/search")
    async def search(request: SearchRequest) -> Response:
        """The best passages for a query, with the score of every stage."""
        hits, timings = await service.search(request)
        return Json(
            {
                "object": "list",
                "data": [hit.to_dict() for hit in hits],
                "model": service.names[0],
                "timings_ms": timings,
                "warnings": await service.warnings(hits, request.filters),
            }
        )

    @router.post("/ask")
    async def ask(request: AskRequest) -> Response:
        """An answer with its citations, and the passages that were read.

        `reader_trained` says whether the model has learnt to read: no answer means little else.
        """
        answer = await service.answer(request)
        model = service.model
        trained = "read" in model.tasks and not is_untrained(model, "read")
        read = request.answer_by is not None or isinstance(
            service.pipeline.generator, ExtractiveReader
        )
        return Json(
            {
                **answer.to_dict(),
                "model": service.names[0],
                "answered_by": "reader" if read else "generator",
                "reader_trained": trained,
                "warnings": await service.warnings(answer.hits, request.filters),
            }
        )

    @router.post("/explain")
    async def explain(request: ExplainRequest) -> Response:
        """How a text's relevance for a query came about: token by token, and which experts."""
        found, routing = await service.inference.explain(request.query, request.text)
        told = asdict(found)
        del told["rows"]
        return Json({"object": "explanation", **told, "routing": routing})

    @router.get("/indexes")
    async def indexes() -> Response:
        """The index that is served: how it was built, and how it is searched by default."""
        return Json({"object": "list", "data": [await service.index()]})

    @router.get("/documents")
    async def listed(
        name: Annotated[list[str] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """Files and sources that the index holds, by name; `name` may be a folder or a glob."""
        found = await service.holdings(name or ())
        return Json(
            {
                "object": "list",
                "data": [asdict(one) for one in found[offset : offset + limit]],
                "total": len(found),
            }
        )

    @router.post("/documents")
    async def add(request: DocumentsRequest) -> Response:
        """Cut documents into passages, embed and store them; what is there already stays."""
        documents = [
            _document(one, None, "", {}, "")
            if isinstance(one, str)
            else _document(one.text, one.source, one.title, one.metadata, one.document_id)
            for one in request.documents
        ]
        report = await service.add(documents, replace=request.replace)
        return Json({"object": "documents.added", **asdict(report)})

    @router.put("/documents/{name:path}")
    async def upload(name: str, request: Request) -> Response:
        """Index a file: the body is its bytes, the name's ending says how it is read.

        The name is its source; a file of the same name is replaced.
        """
        document = await asyncio.to_thread(read_upload, name, await request.body())
        report = await service.add([document], replace=True)
        notes = list(document.notes)
        return Json({"object": "documents.added", **asdict(report), "read": notes})

    @router.delete("/documents")
    async def delete(request: DeleteRequest) -> Response:
        """Remove passages: by `ids`, by `filters`, or all of `sources`."""
        filters = {"source": request.sources} if request.sources else request.filters
        removed = await service.delete(request.ids, filters)
        return Json({"object": "documents.deleted", "removed": removed})

    return router


def _document(
    text: str, source: str | None, title: str, metadata: dict[str, object], document_id: str
) -> Document:
    """A document; one without a source gets its own, made from its content."""
    name = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    return Document(
        text=text,
        source=source or f"api/{name}",
        title=title,
        metadata=metadata,  # type: ignore[arg-type]  # the library checks it
        document_id=document_id,
    )
