"""The application: a pipeline's endpoints behind the gate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from importlib import metadata
from typing import TYPE_CHECKING

from unimoer_rag.extras import needs_extra
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.serving.keys import Keys
from unimoer_rag.serving.settings import ServeSettings

with needs_extra("fastapi", "serve", "a server"):
    from fastapi import APIRouter, FastAPI
    from fastapi.middleware.cors import CORSMiddleware
    from fastapi.responses import Response

from unimoer_rag.serving import chat_api, index_api, openai_api, page_api, rerank_api, score_api
from unimoer_rag.serving.failures import Json, RequestError, add_handlers
from unimoer_rag.serving.gate import Gate
from unimoer_rag.serving.local import proof
from unimoer_rag.serving.service import Service

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from starlette.routing import BaseRoute

__all__ = ["make_app"]

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def make_app(
    pipeline: RagPipeline,
    settings: ServeSettings | None = None,
    *,
    keys: Keys | None = None,
    token: str | None = None,
    while_running: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> FastAPI:
    """A pipeline as an ASGI application, for a server of one's own; `serve` runs one.

    Args:
        pipeline: what is served; its retriever is closed by whoever opened it.
        settings: limits and names, and the host, by which requests have to call a server without
            keys.
        keys: in place of those of the settings.
        token: by which programs of this machine find the server (see `serving.local`); None for
            a server that is not to be found.
        while_running: makes what is entered when the application starts and left when it stops.

    Raises:
        InputError: another model than ours embeds, or a key cannot be used.
        MissingExtraError: FastAPI is not installed.
    """
    settings = ServeSettings.load() if settings is None else settings
    keys = settings.read_keys() if keys is None else keys
    if keys and token is not None:
        keys = keys.with_key(token, "write")
    service = Service(pipeline, settings, keys)
    protocol = None if settings.mcp == "off" else _protocol(service, writes=settings.mcp == "write")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with protocol.session_manager.run() if protocol else nullcontext():
            with while_running():
                yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="unimoer-rag",
        version=metadata.version("unimoer-rag"),
        lifespan=lifespan,
        docs_url=None,  # its page asks others for scripts; /openapi.json is there
        redoc_url=None,
    )
    app.include_router(openai_api.routes(service, int(time.time())))
    for part in (rerank_api, score_api, index_api, chat_api):
        app.include_router(part.routes(service))
    app.include_router(_routes(service))
    app.include_router(page_api.routes())
    if token is not None:
        app.include_router(_finding(token))
    if protocol is not None:
        app.router.routes.extend(_at_mcp(protocol))
    add_handlers(app, service.hidden)
    app.add_middleware(Gate, service=service)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


def _routes(service: Service) -> APIRouter:
    """Those for whoever runs the server."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> Response:
        """Whether the process answers."""
        return Json({"status": "ok"})

    @router.get("/ready")
    async def ready() -> Response:
        """Whether it takes requests: the model is loaded and the index can be asked."""
        if service.closing:
            raise RequestError(503, "the server is stopping", code="stopping")
        passages = await asyncio.to_thread(service.retriever.count)
        return Json({"status": "ready", "passages": passages})

    @router.get("/metrics")
    async def metrics() -> Response:
        """Counts for Prometheus."""
        return Response(service.metrics.text(), media_type=_METRICS_TYPE)

    return router


def _protocol(service: Service, *, writes: bool) -> MCPServer[None]:
    from unimoer_rag.serving.mcp_server import make_mcp

    return make_mcp(service, writes=writes)


def _at_mcp(protocol: MCPServer[None]) -> list[BaseRoute]:
    """The protocol's one address; every request is answered for itself, in one piece."""
    from mcp.server.transport_security import TransportSecuritySettings

    whom = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # the gate does that
    return protocol.streamable_http_app(
        json_response=True, stateless_http=True, transport_security=whom
    ).routes


def _finding(token: str) -> APIRouter:
    """That by which a shell makes sure whom it has found."""
    router = APIRouter()

    @router.get("/local/{nonce}", include_in_schema=False)
    async def local(nonce: str) -> Response:
        return Json({"proof": proof(token, nonce)})

    return router
