"""A server that runs: until it is told to stop, or beside a block of code."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.pipelines import RagPipeline
from unimoer_rag.serving.app import make_app
from unimoer_rag.serving.local import announced, new_token
from unimoer_rag.serving.settings import ServeSettings

with needs_extra("uvicorn", "serve", "a server"):
    import uvicorn

__all__ = ["serve", "serving"]


def serve(
    pipeline: RagPipeline,
    settings: ServeSettings | None = None,
    *,
    on_ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve a pipeline until the process is told to stop (SIGINT, SIGTERM).

    Requests under way are then finished, for `settings.grace` seconds at most. One process and one
    loaded model answer all: the engine merges what they ask.

    Args:
        pipeline: what is served; its retriever is closed by whoever opened it.
        settings: of the server; by default those of the environment.
        on_ready: called with the address once requests are taken.

    Raises:
        InputError: the address cannot be had, or lets others in without keys.
        MissingExtraError: FastAPI or uvicorn is not installed.

    >>> serve(RagPipeline(retriever), ServeSettings(port=8000))            # doctest: +SKIP
    """
    settings = ServeSettings.load() if settings is None else settings
    server, listener, _ = _prepared(pipeline, settings, on_ready)
    with listener:
        server.run(sockets=[listener])


@contextmanager
def serving(pipeline: RagPipeline, settings: ServeSettings | None = None) -> Iterator[str]:
    """Serve a pipeline while a block of code runs, in a thread; gives the address.

    Args:
        pipeline: what is served.
        settings: of the server; by default those of the environment, on a free port.

    Raises:
        InputError: as for `serve`.
        UnimoerError: the server does not start.

    >>> with serving(RagPipeline(retriever)) as url:                       # doctest: +SKIP
    ...     httpx.post(f"{url}/v1/search", json={"query": "refunds"})
    """
    settings = ServeSettings.load(port=0) if settings is None else settings
    server, listener, url = _prepared(pipeline, settings, lambda url: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    with listener:
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise UnimoerError("the server did not start: its log says why")
                time.sleep(0.005)
            yield url
        finally:
            server.should_exit = True
            thread.join()


def _prepared(
    pipeline: RagPipeline, settings: ServeSettings, on_ready: Callable[[str], object]
) -> tuple[uvicorn.Server, socket.socket, str]:
    """A server that is yet to run, what it listens by, and its address."""
    keys = settings.read_keys()
    listener = _listening(settings.host, settings.port)
    try:
        url = _address(listener)
        token = new_token()

        @contextmanager
        def running() -> Iterator[None]:
            with _found(pipeline, url, token):
                on_ready(url)
                yield

        app = make_app(pipeline, settings, keys=keys, token=token, while_running=running)
        config = uvicorn.Config(
            app,
            log_config=None,  # logs go where the program's go
            log_level="warning",
            access_log=False,  # addresses and names of documents are nobody's
            timeout_graceful_shutdown=max(1, round(settings.grace)),
            server_header=False,
        )
        return uvicorn.Server(config), listener, url
    except BaseException:
        listener.close()
        raise


def _found(pipeline: RagPipeline, url: str, token: str) -> AbstractContextManager[None]:
    """Lets shells find the server, where it is the one that holds a folder."""
    retriever = pipeline.retriever
    settings = retriever.settings
    near = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    named = isinstance(settings.model, str | Path | None)  # a loaded one may be of any precision
    if settings.index is None or not named or getattr(retriever.store, "read_only", False):
        return nullcontext()
    model = None if settings.model is None else str(settings.model)
    return announced(Path(settings.index), url=near, token=token, model=model, settings=settings)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another "
            "(0 for a free port)"
        ) from error


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
