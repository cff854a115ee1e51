"""The index as tools of the Model Context Protocol, for assistants that call such tools.

The same tools over standard input and output (`unimoer-rag mcp`), and over HTTP beside the other
endpoints (`unimoer-rag serve --mcp read`), by the protocol's official package.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.requests import Request

from unimoer_rag.extras import needs_extra
from unimoer_rag.generation import Citation
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.retrieval import Document, Passage
from unimoer_rag.serving.failures import RequestError, told
from unimoer_rag.serving.keys import Keys
from unimoer_rag.serving.schemas import AskRequest, SearchRequest
from unimoer_rag.serving.service import Service
from unimoer_rag.serving.settings import ServeSettings

with needs_extra("mcp", "mcp", "a server of the Model Context Protocol"):
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
    from mcp_types import ToolAnnotations

__all__ = ["make_mcp", "run_mcp"]

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True)
_PASSAGE = "unimoer://passages/{passage_id}"

Filters = Annotated[
    dict[str, Any] | None,
    Field(description='Only passages with these values, such as {"source": "handbook/a.md"}.'),
]


class Found(BaseModel):
    """A passage. `uri` reads it again, and names it to others."""

    text: str
    source: str
    title: str
    page: int | None
    start: int
    end: int
    uri: str
    score: float | None = None


class FoundPassages(BaseModel):
    """The passages of a search, best first; warnings say why there may be none."""

    passages: list[Found]
    warnings: list[str] = []


class Quoted(BaseModel):
    """The words that support an answer, and where they stand."""

    text: str
    source: str
    page: int | None
    start: int
    end: int
    uri: str


class Answered(BaseModel):
    """An answer, or none; what it is not supported by is no answer of the documents."""

    answer: str | None
    confidence: float | None
    citations: list[Quoted]
    passages: list[Found]


class Added(BaseModel):
    """How many passages were new, and how many were there."""

    added: int
    unchanged: int
    removed: int


def make_mcp(service: Service, *, writes: bool = False) -> MCPServer[None]:
    """A server of the protocol over a pipeline.

    Args:
        service: what answers.
        writes: give the tool `add_documents`, too; over HTTP with keys, only to those that may
            write.

    Raises:
        MissingExtraError: the package `mcp` is not installed.
    """
    server: MCPServer[None] = MCPServer(
        "unimoer-rag",
        title="Documents of unimoer-rag",
        version=metadata.version("unimoer-rag"),
        instructions="Search the user's indexed documents, or ask them a question. Answers quote "
        "the documents; no answer means that they do not say.",
        log_level="WARNING",
    )
    _add_reading(server, service)
    if writes:
        _add_writing(server, service)
    return server


def run_mcp(pipeline: RagPipeline, *, writes: bool = False) -> None:
    """Serve a pipeline's index over standard input and output, until the input ends.

    Args:
        pipeline: what answers; its retriever is closed by whoever opened it.
        writes: see `make_mcp`.
    """
    logging.getLogger("mcp").setLevel(logging.WARNING)
    service = Service(pipeline, ServeSettings.load(), Keys())
    try:
        make_mcp(service, writes=writes).run("stdio")
    finally:
        service.close()


def _add_reading(server: MCPServer[None], service: Service) -> None:
    @server.tool(annotations=_READS)
    async def search(
        query: Annotated[str, Field(description="What to look for, in words of any language use.")],
        k: Annotated[int, Field(description="How many passages.", ge=1, le=100)] = 5,
        filters: Filters = None,
    ) -> FoundPassages:
        """Find the passages of the indexed documents that best fit a query, reranked."""
        async with _telling(service):
            hits, _ = await service.search(SearchRequest(query=query, k=k, filters=filters))
            warnings = await service.warnings(hits, filters)
        return FoundPassages(
            passages=[_found(hit.passage, hit.score) for hit in hits], warnings=warnings
        )

    @server.tool(annotations=_READS)
    async def ask(
        question: Annotated[str, Field(description="A question of its own, in full.")],
        filters: Filters = None,
    ) -> Answered:
        """Answer a question from the indexed documents, with the words that support it."""
        async with _telling(service):
            answer = await service.answer(AskRequest(question=question, filters=filters))
        return Answered(
            answer=answer.text,
            confidence=answer.confidence,
            citations=[_quoted(one) for one in answer.citations],
            passages=[_found(hit.passage, hit.score) for hit in answer.hits],
        )

    @server.resource(_PASSAGE, mime_type="text/plain", title="A passage")
    async def passage(passage_id: str) -> str:
        """A passage's text, with its document's title."""
        async with _telling(service):
            found = await service.passages([passage_id])
        if not found:
            raise ResourceNotFoundError(f"no passage has the id {passage_id!r:.80}")
        return found[0].content


def _add_writing(server: MCPServer[None], service: Service) -> None:
    @server.tool(annotations=_WRITES)
    async def add_documents(
        text: Annotated[str, Field(description="The document's text.", min_length=1)],
        source: Annotated[str, Field(description="Its name, by which it is found and replaced.")],
        context: Context[None, Request],
        title: Annotated[str, Field(description="Its title.")] = "",
    ) -> Added:
        """Put a document into the index; one of the same source is replaced."""
        request = context.request_context.request
        if request is not None and not request.scope.get("unimoer.writes", False):
            raise ToolError("this key may read and not write")
        async with _telling(service):
            report = await service.add([Document(text, source, title)], replace=True)
        return Added(added=report.added, unchanged=report.unchanged, removed=report.removed)


@asynccontextmanager
async def _telling(service: Service) -> AsyncIterator[None]:
    """Errors of the library as the protocol has them, without places on this machine."""
    try:
        yield
    except Exception as error:
        refused = told(error, service.hidden)
        if not isinstance(error, RequestError) and refused.status == 500:
            raise  # a bug: the package logs it and says no more than that
        raise ToolError(str(refused)) from error


def _uri(passage: Passage) -> str:
    return _PASSAGE.format(passage_id=passage.id)


def _found(passage: Passage, score: float | None) -> Found:
    return Found(
        text=passage.text,
        source=passage.source,
        title=passage.title,
        page=passage.page,
        start=passage.start,
        end=passage.end,
        uri=_uri(passage),
        score=score,
    )


def _quoted(citation: Citation) -> Quoted:
    return Quoted(
        text=citation.text,
        source=citation.hit.source,
        page=citation.page,
        start=citation.start,
        end=citation.end,
        uri=_uri(citation.hit.passage),
    )
