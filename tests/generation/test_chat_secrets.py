"""A key and a password reach the server they are for, and nobody else hears of them."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from generation.faulty_server import Answer, Faulty, faulty_server, status, stream, whole

from unimoer_rag.errors import GeneratorRefusedError, InputError, UnimoerError
from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.pipelines.config import PipelineConfig
from unimoer_rag.retrieval.types import Hit, Passage

HITS = [Hit(Passage("Refunds take 14 days.", "a.md", end=21))]
KEY, PASSWORD, TOKEN = "sk-topsecret", "s3cretpw", "t0ken-in-query"
SECRETS = (KEY, PASSWORD, TOKEN, base64.b64encode(f"me:{PASSWORD}".encode()).decode())


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty_server() as server:
        yield server


def with_secrets(url: str) -> str:
    return url.replace("http://", f"http://me:{PASSWORD}@") + f"?token={TOKEN}"


def client(server: Faulty, **options: int) -> ChatServer:
    return ChatServer(with_secrets(server.url), "tiny", retries=0, **options)  # type: ignore[arg-type]


def silent(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


def echo(handler: BaseHTTPRequestHandler) -> None:
    """A server that quotes in its refusal what it was sent."""
    said = f"no such user: {handler.path} {handler.headers['Authorization']} {SECRETS}"
    status(400, {"error": {"message": said}})(handler)


def echo_in_stream(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    body = json.dumps({"error": {"message": f"bad key {KEY} of {PASSWORD}"}})
    handler.wfile.write(f"data: {body}\n\n".encode())


@pytest.mark.slow
def test_they_reach_the_server(server: Faulty) -> None:
    server.answers = [whole("fine")]
    client(server).generate("why?", HITS)
    assert server.paths == [f"/v1/chat/completions?token={TOKEN}"]
    assert server.headers["Authorization"] == f"Basic {SECRETS[-1]}"
    ChatServer(server.url, "tiny", api_key=KEY).generate("why?", HITS)
    assert server.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer", [echo, echo_in_stream, status(503), status(404), status(401), status(200, "<html>")]
)
async def test_no_error_quotes_them(server: Faulty, answer: Answer) -> None:
    server.answers = [answer]
    for chat in (client(server), ChatServer(server.url, "tiny", api_key=KEY, retries=0)):
        raised = []
        for ask in (chat.generate, lambda q, h, c=chat: list(c.stream(q, h))):
            with pytest.raises(UnimoerError) as caught:
                ask("why?", HITS)
            raised.append(caught.value)
        with pytest.raises(UnimoerError) as caught:
            await chat.agenerate("why?", HITS)
        raised.append(caught.value)
        with pytest.raises(UnimoerError) as caught:
            [piece async for piece in chat.astream("why?", HITS)]
        raised.append(caught.value)
        await chat.aclose()
        for error in raised:
            if chat._connection._secrets[0] == KEY:
                # What a server says of other people's secrets is its own matter.
                assert KEY not in "".join(traceback.format_exception(error))
            else:
                said = "".join(traceback.format_exception(error)).replace(KEY, "")
                assert silent(said), said
            assert repr(error) == repr(pickle.loads(pickle.dumps(error)))


@pytest.mark.slow
async def test_nor_where_nobody_answers() -> None:
    with faulty_server() as gone:
        url = with_secrets(gone.url)
    for model in ("tiny", None):
        with pytest.raises(UnimoerError) as caught:
            ChatServer(url, model, api_key=KEY, retries=0).generate("why?", HITS)
        assert silent("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{PASSWORD}/x@localhost:1/v1",
        f"http://me:{PASSWORD}@localhost:port/v1",
        f"ftp://me:{PASSWORD}@localhost/v1",
        f"me:{PASSWORD}@localhost",
        f"http://me:{PASSWORD}@/v1",
    ],
)
def test_nor_of_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InputError) as caught:
        ChatServer(url)
    assert silent("".join(traceback.format_exception(caught.value)))


@pytest.mark.slow
def test_no_log_has_them(server: Faulty, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")  # which LiteLLM makes silent
    server.answers = [whole("fine"), stream("fine"), status(500)]
    chat = client(server)
    chat.generate("why?", HITS)
    list(chat.stream("why?", HITS))
    with pytest.raises(UnimoerError):
        chat.generate("why?", HITS)
    ChatServer(server.url, "tiny", api_key=KEY, retries=0)
    assert "HTTP Request" in caplog.text  # httpx told of them, with its URLs
    assert silent(caplog.text)


def test_no_repr_and_no_pickle_has_them() -> None:
    chat = ChatServer(with_secrets("http://localhost:1/v1"), api_key=KEY)
    assert repr(chat) == "ChatServer('http://localhost:1/v1?token=***', model=None)"
    with pytest.raises(TypeError, match="holds a key and connections") as caught:
        pickle.dumps(chat)
    assert silent(str(caught.value))


def test_no_json_of_a_pipeline_has_them() -> None:
    url = with_secrets("http://localhost:1/v1")
    config = PipelineConfig.model_validate(
        {"retrieve": {"url": url}, "generate": {"kind": "chat-server", "url": url}}
    )
    assert silent(config.model_dump_json())
    assert silent(json.dumps(config.model_dump(mode="json")))
    assert silent(repr(config) + str(config))
    assert config.retrieve.url == url  # which is what connects


@pytest.mark.slow
def test_a_refused_key_is_not_told(server: Faulty) -> None:
    server.answers = [status(403, f"{KEY} is not allowed")]
    with pytest.raises(GeneratorRefusedError, match="refused the API key: give the right one"):
        ChatServer(server.url, "tiny", api_key=KEY).generate("why?", HITS)
