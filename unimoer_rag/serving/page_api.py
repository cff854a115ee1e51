"""The page at `/`: files of the package, which ask the other endpoints and nobody else."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

__all__ = ["routes"]

_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
# Nothing is loaded from elsewhere, run from the text, or framed by another page.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes() -> APIRouter:
    """The page's address, and those of its parts."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> Response:
        return _file("index.html")

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return RedirectResponse("page/icon.svg")

    @router.get("/page/{name}")
    async def part(name: str) -> Response:
        return _file(name)

    return router


def _file(name: str) -> Response:
    if name not in _TYPES:
        return Response(status_code=404)
    data = files("unimoer_rag.serving").joinpath("page", name).read_bytes()
    return Response(data, media_type=_TYPES[name], headers=_HEADERS)
