"""The server home over real connections: gRPC and REST servers on loopback.

No Qdrant server can be installed where the tests run, so the REST one here is a thin HTTP front
of qdrant-client's own in-memory engine: requests and answers travel as a server's would.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
import pytest
from http_thread import running
from qdrant_client import QdrantClient, models
from store_contract import DIMENSION, RECORDS, StoreContract

from unimoer_rag.errors import (
    IndexMismatchError,
    InputError,
    StoreAuthError,
    StoreError,
    StoreUnavailableError,
)
from unimoer_rag.retrieval.store import Quantization, ServerStore, Store

KEY = "s3cret"


class Front(BaseHTTPRequestHandler):
    """Qdrant's REST routes that the store uses, over `server.client`."""

    protocol_version = "HTTP/1.1"

    def do_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        if self.headers.get("api-key") != KEY:
            return self.answer(401, {"status": {"error": "Must provide an API key"}})
        path = self.path.partition("?")[0].strip("/").split("/")
        try:
            with self.server.lock:
                result = self.route(self.command, path[1], "/".join(path[2:]), body)
        except ValueError as error:
            return self.answer(400, {"status": {"error": str(error)}})
        dumped = json.loads(json.dumps(result, default=lambda o: o.model_dump(mode="json")))
        return self.answer(200, {"result": dumped, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_PATCH = do_any  # noqa: N815

    def route(self, method: str, name: str, rest: str, body: dict[str, Any]) -> Any:
        client: QdrantClient = self.server.client
        done = {"operation_id": 0, "status": "completed"}
        if rest == "exists":
            return {"exists": client.collection_exists(name)}
        if rest == "" and method == "GET":
            return client.get_collection(name)
        if rest == "" and method == "PUT":
            request = models.CreateCollection(**body)
            return client.create_collection(
                name,
                vectors_config=request.vectors,
                sparse_vectors_config=request.sparse_vectors,
            )
        if rest == "" and method == "PATCH":
            if self.server.keeps_metadata:
                client.update_collection(name, metadata=body["metadata"])
            return True
        if rest == "index":
            assert body["field_name"] in ("source", "document_id")
            return done
        if rest == "points" and method == "PUT":
            client.upsert(name, [models.PointStruct(**point) for point in body["points"]])
            return done
        if rest == "points":
            return client.retrieve(name, body["ids"], with_payload=body["with_payload"])
        if rest == "points/count":
            return client.count(name, body.get("filter") and models.Filter(**body["filter"]))
        if rest == "points/delete":
            kind = models.FilterSelector if "filter" in body else models.PointIdsList
            client.delete(name, kind(**body))
            return done
        if rest == "points/scroll":
            request = models.ScrollRequest(**body)
            points, offset = client.scroll(
                name,
                request.filter,
                request.limit,
                offset=request.offset,
                with_payload=request.with_payload,
                with_vectors=request.with_vector or False,
            )
            return {"points": points, "next_page_offset": offset}
        assert rest == "points/query/batch", rest
        # The engine in memory has no use for them, and says so in a warning.
        self.server.params = [search.pop("params", None) for search in body["searches"]]
        requests = [models.QueryRequest(**search) for search in body["searches"]]
        return client.query_batch_points(name, requests)

    def answer(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **attributes: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    for name, value in attributes.items():
        setattr(server, name, value)
    with running(server) as address:
        yield address


@pytest.fixture
def url() -> Iterator[str]:
    client = QdrantClient(":memory:")
    with serving(Front, client=client, lock=threading.Lock(), keeps_metadata=True) as address:
        yield address
    client.close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TestServer(StoreContract):
    @pytest.fixture
    def empty(self, url: str, closed_port: int) -> Iterator[Store]:
        # gRPC is preferred, does not answer, and REST takes over.
        with ServerStore.connect(
            url, api_key=KEY, dimension=DIMENSION, grpc_port=closed_port
        ) as store:
            yield store


@pytest.mark.slow
def test_two_connections_see_one_collection(url: str) -> None:
    def connect(**options: Any) -> ServerStore:
        return ServerStore.connect(url, api_key=KEY, prefer_grpc=False, **options)

    with pytest.raises(InputError, match="no collection 'unimoer'"):
        connect()
    with connect(dimension=DIMENSION) as one, connect() as two:
        one.upsert(RECORDS)
        one.set_identity({"checkpoint": "abc"})
        assert two.dimension == DIMENSION
        assert two.identity() == {"checkpoint": "abc"}
        assert two.count() == len(RECORDS)
        with connect(dimension=DIMENSION, collection="other") as other:
            assert other.count() == 0
    with pytest.raises(IndexMismatchError, match="vectors of 8, the model gives 9"):
        connect(dimension=9)


@pytest.mark.parametrize(("kind", "oversampling"), [("int8", 2.0), ("binary", 8.0)])
def test_a_quantized_collection(kind: Quantization, oversampling: float) -> None:
    client = QdrantClient(":memory:")
    front: dict[str, Any] = {"client": client, "lock": threading.Lock(), "keeps_metadata": True}
    asked: list[Any] = []

    class Heard(Front):
        def answer(self, status: int, content: dict[str, Any]) -> None:
            asked.extend(self.server.__dict__.pop("params", []))
            super().answer(status, content)

    with serving(Heard, **front) as url:

        def connect(**options: Any) -> ServerStore:
            return ServerStore.connect(url, api_key=KEY, prefer_grpc=False, **options)

        with connect(dimension=DIMENSION, quantization=kind) as store:
            store.upsert(RECORDS)
            store.search_dense(RECORDS[0].dense[None], limit=2)
        params = client.get_collection("unimoer").config.params.vectors["dense"]
        assert params.on_disk
        assert ("scalar" if kind == "int8" else "binary") in params.quantization_config.model_dump()
        with connect(oversampling=5) as store:
            assert store.quantization == kind
            store.search_dense(RECORDS[0].dense[None], limit=2)
            store.search_sparse([RECORDS[0].sparse], limit=2)
        rescoring = [params and params["quantization"] for params in asked]
        assert [r and (r["rescore"], r["oversampling"]) for r in rescoring] == [
            (True, oversampling),
            (True, 5),
            None,
        ]
        other = "binary" if kind == "int8" else "int8"
        with pytest.raises(IndexMismatchError, match=f"'unimoer'.*quantization {kind}, not"):
            connect(quantization=other)
    client.close()


def test_somebody_elses_collection_is_refused() -> None:
    client = QdrantClient(":memory:")
    client.create_collection("docs", models.VectorParams(size=8, distance=models.Distance.COSINE))
    with (
        serving(Front, client=client, lock=threading.Lock(), keeps_metadata=True) as url,
        pytest.raises(IndexMismatchError, match=r"'docs'.*not made by unimoer-rag"),
    ):
        ServerStore.connect(url, api_key=KEY, collection="docs", dimension=8, prefer_grpc=False)
    client.close()


def test_a_server_that_forgets_the_identity_is_too_old() -> None:
    client = QdrantClient(":memory:")
    with (
        serving(Front, client=client, lock=threading.Lock(), keeps_metadata=False) as url,
        ServerStore.connect(url, api_key=KEY, dimension=8, prefer_grpc=False) as store,
        pytest.raises(StoreError, match=r"version 1\.16"),
    ):
        store.set_identity({"a": 1})
    client.close()


@pytest.mark.parametrize("prefer_grpc", [True, False])
@pytest.mark.parametrize("api_key", [None, "wrong"])
def test_a_wrong_key(url: str, closed_port: int, prefer_grpc: bool, api_key: str | None) -> None:
    with pytest.raises(StoreAuthError, match=r"127\.0\.0\.1.*refused the API key.*api_key"):
        ServerStore.connect(
            url, api_key=api_key, dimension=8, prefer_grpc=prefer_grpc, grpc_port=closed_port
        )


@pytest.mark.parametrize("prefer_grpc", [True, False])
def test_nothing_answers(closed_port: int, prefer_grpc: bool) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    with pytest.raises(StoreUnavailableError, match=rf"{url}.*docker run"):
        ServerStore.connect(url, dimension=8, prefer_grpc=prefer_grpc, grpc_port=closed_port)


def test_a_server_that_goes_away() -> None:
    client = QdrantClient(":memory:")
    with serving(Front, client=client, lock=threading.Lock(), keeps_metadata=True) as url:
        store = ServerStore.connect(url, api_key=KEY, dimension=8, prefer_grpc=False)
    with pytest.raises(StoreUnavailableError, match=url):
        store.search_dense(np.ones((1, 8), np.float32), limit=3)
    store.close()
    client.close()


def replying(status: int, body: bytes) -> type[BaseHTTPRequestHandler]:
    class Reply(Front):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Reply


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (403, b"", StoreAuthError, "refused"),
        (503, b"", StoreUnavailableError, "503"),
        (500, b"out of memory", StoreError, "out of memory"),
        (404, b"not here", StoreError, "404"),
        (200, b"<html>hello</html>", StoreError, "not a Qdrant server"),
        (200, b'{"hello": 1}', StoreError, "not a Qdrant server"),
    ],
)
def test_other_answers(status: int, body: bytes, error: type[StoreError], message: str) -> None:
    with serving(replying(status, body)) as url, pytest.raises(error, match=message):
        ServerStore.connect(url, dimension=8, prefer_grpc=False)


@pytest.mark.parametrize("url", ["localhost:6333", "ftp://x", "", "http://[", "http://host:port"])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InputError, match="url"):
        ServerStore.connect(url, dimension=8)


@contextmanager
def grpc_answering(code: grpc.StatusCode) -> Iterator[int]:
    """A gRPC server on loopback that answers every call with one status."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, _: Any) -> Any:
            def refuse(_: bytes, context: Any) -> bytes:
                context.abort(code, "because")
                return b""

            return grpc.unary_unary_rpc_method_handler(refuse)

    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, StoreAuthError),
        (grpc.StatusCode.PERMISSION_DENIED, StoreAuthError),
        (grpc.StatusCode.INTERNAL, StoreError),
        (grpc.StatusCode.INVALID_ARGUMENT, StoreError),
    ],
)
def test_grpc_errors(code: grpc.StatusCode, error: type[StoreError], closed_port: int) -> None:
    with grpc_answering(code) as port, pytest.raises(error, match=str(closed_port)) as caught:
        ServerStore.connect(f"http://127.0.0.1:{closed_port}", dimension=8, grpc_port=port)
    assert type(caught.value) is error


def test_every_home_agrees(url: str, tmp_path: Any, closed_port: int) -> None:
    from store_contract import ENCODER

    from unimoer_rag.retrieval.store import EdgeStore

    makers: list[Callable[[], Any]] = [
        lambda: ServerStore.memory(dimension=DIMENSION),
        lambda: EdgeStore(tmp_path / "index", dimension=DIMENSION),
        lambda: ServerStore.connect(url, api_key=KEY, dimension=DIMENSION, prefer_grpc=False),
    ]
    answers = []
    for make in makers:
        with make() as store:
            store.upsert(RECORDS)
            store.delete([RECORDS[3].passage.id])
            [dense] = store.search_dense(np.ones((1, DIMENSION), np.float32), limit=9)
            [sparse] = store.search_sparse([ENCODER.query("refunds, working hours")], limit=9)
            answers.append([*dense, *sparse])
    for other in answers[1:]:
        assert [f.passage for f in other] == [f.passage for f in answers[0]]
        assert [f.score for f in other] == pytest.approx([f.score for f in answers[0]], rel=1e-4)
