"""Who gets in, how much at once, and what the rest is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.errors import InputError, StoreError
from unimoer_rag.generation import Generation
from unimoer_rag.retrieval import Hit
from unimoer_rag.serving import Keys, ServeSettings, make_app, serving

READ, WRITE = "sk-reads-0123456789", "sk-writes-0123456789"


class Waiting:
    """Answers once it is let; tells when it was asked, and when nobody wanted it any more."""

    def __init__(self) -> None:
        self.asked, self.let, self.left = (threading.Event() for _ in range(3))

    def generate(self, question: str, hits: Any) -> Generation:
        raise NotImplementedError

    async def agenerate(self, question: str, hits: Any) -> Generation:
        self.asked.set()
        try:
            while not self.let.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.left.set()
            raise
        return Generation("let")


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def guarded(pipeline: RagPipeline, waiting: Waiting, tmp_path: Path) -> Iterator[httpx.Client]:
    """A server with keys and small limits."""
    (tmp_path / "keys").write_text(f"# ours\n{READ}\n\n{WRITE} write\n", encoding="utf-8")
    settings = ServeSettings(
        port=0,
        keys_file=tmp_path / "keys",
        cors_origins=("https://ours.example",),
        max_bytes=2000,
        max_texts=3,
        max_tokens=40,
        max_concurrent=1,
    )
    made = RagPipeline(pipeline.retriever.with_search(rerank=0, mode="sparse"), generator=waiting)
    with (
        serving(made, settings) as address,
        httpx.Client(
            base_url=address, trust_env=False, timeout=300, headers=_bearer(READ)
        ) as client,
    ):
        yield client


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_keys_and_limits(guarded: httpx.Client) -> None:
    embed: dict[str, Any] = {"url": "/v1/embeddings", "json": {"input": "a"}}
    assert guarded.post(**embed).status_code == 200
    for headers in (
        {"Authorization": ""},
        _bearer("sk-unknown-0123456789"),
        {"Authorization": "Bearer é".encode()},
    ):
        refused = guarded.post(**embed, headers=headers)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
        assert "sk-" not in refused.text
    assert guarded.get("/health", headers={"Authorization": ""}).status_code == 200
    assert guarded.get("/metrics", headers={"Authorization": ""}).status_code == 401
    gone = {"ids": ["00000000-0000-0000-0000-000000000000"]}
    for key, status in ((READ, 403), (WRITE, 200)):
        answered = guarded.request("DELETE", "/v1/documents", json=gone, headers=_bearer(key))
        assert answered.status_code == status

    too_large = guarded.post("/v1/embeddings", json={"input": "a" * 3000})
    assert (too_large.status_code, too_large.json()["error"]["code"]) == (413, "body_too_large")

    def parts() -> Iterator[bytes]:  # without a length that tells it beforehand
        yield b'{"input": "'
        yield b"a" * 3000

    in_parts = guarded.post("/v1/embeddings", content=parts())
    assert in_parts.status_code == 413
    many = guarded.post("/v1/embeddings", json={"input": ["a"] * 4})
    assert (many.status_code, many.json()["error"]["param"]) == (422, "input")
    long = guarded.post("/v1/embeddings", json={"input": "word " * 100})
    assert (long.status_code, long.json()["error"]["code"]) == (422, "too_many_tokens")


def test_malformed_requests(guarded: httpx.Client) -> None:
    kind = {"Content-Type": "application/json"}
    for content in (b"{", b"\xff", b"[" * 1500, b'{"input": 1e999, "x": NaN'):
        refused = guarded.post("/v1/embeddings", content=content, headers=kind)
        assert refused.status_code == 400, content
        assert refused.json()["error"]["type"] == "invalid_request_error"
    assert guarded.post("/v1/embeddings", content=b'{"input": "a"}').status_code == 422
    for method, path, status in (("GET", "/nowhere", 404), ("PUT", "/v1/search", 405)):
        refused = guarded.request(method, path)
        assert refused.status_code == status
        assert refused.json()["error"]["message"]


def test_pages_of_others(guarded: httpx.Client, http: httpx.Client) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    for origin, allowed in (("https://ours.example", True), ("https://other.example", False)):
        found = guarded.options("/v1/search", headers={"Origin": origin, **asked})
        assert ("access-control-allow-origin" in found.headers) is allowed
    # By default no page is let in, and none by a name that leads here.
    found = http.options("/v1/search", headers={"Origin": "https://ours.example", **asked})
    assert "access-control-allow-origin" not in found.headers
    assert http.get("/v1/models", headers={"Host": "rebound.example"}).status_code == 403
    assert http.get("/v1/models", headers={"Host": "localhost:80"}).status_code == 200


def test_more_at_once_come_again(guarded: httpx.Client, waiting: Waiting) -> None:
    answers = []

    def ask() -> None:
        answers.append(guarded.post("/v1/ask", json={"question": "refunds"}))

    thread = threading.Thread(target=ask)
    thread.start()
    assert waiting.asked.wait(60)
    refused = guarded.post("/v1/embeddings", json={"input": "a"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert guarded.get("/ready").status_code == 200
    waiting.let.set()
    thread.join()
    assert answers[0].json()["answer"] == "let"
    assert answers[0].json()["answered_by"] == "generator"
    # A threshold is the reader's, and the reader is there where it is asked for.
    asked: dict[str, Any] = {"question": "refunds", "threshold": 0.5}
    assert guarded.post("/v1/ask", json=asked).status_code == 422
    by_reader = guarded.post("/v1/ask", json={**asked, "answer_by": "reader"})
    assert by_reader.json()["answered_by"] == "reader"


def test_who_leaves_is_not_worked_for(guarded: httpx.Client, waiting: Waiting) -> None:
    with pytest.raises(httpx.ReadTimeout):
        guarded.post("/v1/ask", json={"question": "refunds"}, timeout=httpx.Timeout(60, read=0.5))
    assert waiting.asked.wait(60)
    assert waiting.left.wait(60)
    waiting.let.set()
    assert guarded.post("/v1/ask", json={"question": "refunds"}).json()["answer"] == "let"
    assert 'unimoer_requests_total{method="POST",route="/v1/ask",status="499"} 1.0' in (
        guarded.get("/metrics").text
    )


@pytest.mark.slow
async def test_the_library_s_errors_show_no_places(
    pipeline: RagPipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hidden = str(tmp_path / "handbook.index")

    async def fail(error: Exception) -> list[Hit]:
        raise error

    with UnifiedRetriever(pipeline.retriever.model, index=hidden) as retriever:
        app = make_app(RagPipeline(retriever), ServeSettings(), keys=Keys())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for error, status in (
                (StoreError(f"index {hidden!r} is away"), 503),
                (InputError(f"{hidden} holds no such thing"), 422),
                (RuntimeError(f"a bug in {hidden}"), 500),
            ):
                monkeypatch.setattr(retriever, "asearch", lambda *_, error=error, **__: fail(error))
                found = await client.post("/v1/search", json={"query": "a"})
                assert found.status_code == status
                assert "handbook.index" not in found.text
                assert found.json()["error"]["message"]


def test_an_address_that_others_reach_needs_keys(pipeline: RagPipeline) -> None:
    with (
        pytest.raises(InputError, match="keys_file"),
        serving(pipeline, ServeSettings(host="0.0.0.0", port=0)),
    ):
        pass
    with (
        pytest.raises(InputError, match="cannot listen"),
        serving(pipeline, ServeSettings(host="host.invalid", port=0, open=True)),
    ):
        pass


def test_keys_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    keys = Keys.load(None, f"{READ}, {WRITE} write")
    assert (keys.scope(READ), keys.scope(WRITE), keys.scope(""), bool(keys)) == (
        *("read", "write", None),
        True,
    )
    file = tmp_path / "keys"
    for text, word in (
        ("short", "line 1"),
        (f"{READ}\n{READ} write", "line 2"),
        (f"{READ} admin", "line 1"),
        ("# none", "no key"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=word) as raised:
            Keys.load(file)
        assert READ not in str(raised.value)
    with pytest.raises(InputError, match="empty"):
        Keys.load(None, " , ")


def test_metrics_tell_stages_and_caches(http: httpx.Client, pipeline: RagPipeline) -> None:
    for _ in range(2):
        assert http.post("/v1/search", json={"query": "refunds", "k": 1}).status_code == 200
    text = http.get("/metrics").text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    for stage in ("retrieve", "rerank"):
        assert float(found[f'unimoer_stage_seconds_count{{stage="{stage}"}}']) >= 2
    kept = pipeline.retriever.engine.cache.hits
    assert float(found['unimoer_cache_hits_total{cache="states"}']) == kept > 0
    assert float(found["unimoer_requests_running"]) == 0  # but for this one
    route = 'unimoer_requests_total{method="POST",route="/v1/search",status="200"}'
    assert float(found[route]) >= 2


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIMOER_SERVE_PORT", "9000")
    monkeypatch.setenv("UNIMOER_SERVE_NAMES", "a, b")
    monkeypatch.setenv("UNIMOER_SERVE_KEYS", WRITE)
    settings = ServeSettings.load(port=None, max_texts=7)
    assert (settings.port, settings.names, settings.max_texts) == (9000, ("a", "b"), 7)
    assert WRITE not in repr(settings)
    monkeypatch.setenv("UNIMOER_SERVE_PORT", "many")
    with pytest.raises(InputError, match="UNIMOER_SERVE_PORT"):
        ServeSettings.load()
