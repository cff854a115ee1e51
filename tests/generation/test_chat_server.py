"""ChatServer against real HTTP: what it asks, what it makes of answers, failures and silence."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Iterator

import pytest
from generation.faulty_server import Faulty, faulty_server, status, stream, whole
from tenacity import wait_none

from unimoer_rag.errors import (
    GenerationError,
    GeneratorRefusedError,
    GeneratorUnavailableError,
    InputError,
)
from unimoer_rag.generation import chat_server
from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.generation.types import Generation
from unimoer_rag.retrieval.types import Hit, Passage

QUESTION = "How long do refunds take?"
HITS = [
    Hit(Passage("Refunds take 14 days.", "refunds.md", "Refunds", 10, 31), rerank=0.9),
    Hit(Passage("We open at nine.", "hours.md", "", 0, 16), rerank=0.1),
]


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty_server() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again without the waits in between."""
    monkeypatch.setattr(chat_server, "_WAIT", wait_none())


async def both(server: Faulty, **options: object) -> list[Generation]:
    """The same answer, blocking and awaited."""
    client = ChatServer(server.url, "tiny", **options)  # type: ignore[arg-type]
    found = [client.generate(QUESTION, HITS), await client.agenerate(QUESTION, HITS)]
    client.close()
    return found


# -- what it asks and gives -----------------------------------------------------------------


@pytest.mark.slow
async def test_an_answer_and_its_citations(server: Faulty) -> None:
    server.answers = [whole(" Refunds take 14 days [1]. ")]
    for found in await both(server):
        assert found.text == "Refunds take 14 days [1]."
        assert [(c.hit, c.text, c.start, c.end) for c in found.citations] == [
            (HITS[0], HITS[0].text, 10, 31)
        ]
        assert found.confidence is None
        assert found.complete
        assert len(found.prompt) == 64


@pytest.mark.slow
def test_what_is_asked(server: Faulty) -> None:
    server.answers = [whole("fine")]
    client = ChatServer(
        server.url, api_key="secret", max_tokens=7, temperature=0.5, options={"top_p": 0.9}
    )
    client.generate(QUESTION, HITS)
    request = server.requests[0]
    assert request["model"] == "tiny"  # the first that is served
    assert (request["max_tokens"], request["temperature"], request["top_p"]) == (7, 0.5, 0.9)
    system, user = request["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert "[1] Refunds. Refunds take 14 days.\n\n[2] We open at nine." in user["content"]
    assert user["content"].rstrip().endswith(f"Question: {QUESTION}")
    assert server.headers["Authorization"] == "Bearer secret"


@pytest.mark.slow
async def test_a_stream_comes_in_pieces_and_ends_with_the_whole(server: Faulty) -> None:
    server.answers = [stream("14 ", "days ", "[1]")]
    client = ChatServer(server.url, "tiny")
    blocking = list(client.stream(QUESTION, HITS))
    awaited = [piece async for piece in client.astream(QUESTION, HITS)]
    assert blocking == awaited
    *pieces, last = blocking
    assert pieces == ["14 ", "days ", "[1]"]
    assert isinstance(last, Generation)
    assert last.text == "14 days [1]"
    assert [c.hit for c in last.citations] == HITS[:1]
    assert server.requests[0]["stream"] is True


@pytest.mark.slow
async def test_abstaining_and_being_cut_off_are_told(server: Faulty) -> None:
    server.answers = [whole("no answer.")]
    for found in await both(server):
        assert (found.text, found.confidence, found.citations) == (None, 0.0, ())
    server.answers = [whole("It takes up to", reason="length")]
    assert [found.complete for found in await both(server)] == [False, False]
    server.answers = [stream("It takes", end="length")]
    last = list(ChatServer(server.url, "tiny").stream(QUESTION, HITS))[-1]
    assert isinstance(last, Generation)
    assert not last.complete


# -- failures -------------------------------------------------------------------------------


@pytest.mark.slow
async def test_overload_is_tried_again(server: Faulty) -> None:
    server.answers = [status(429), status(503, "starting"), whole("a"), status(500), whole("b")]
    assert [found.text for found in await both(server)] == ["a", "b"]
    server.answers = [status(503), stream("c")]
    assert next(iter(ChatServer(server.url, "tiny").stream(QUESTION, HITS))) == "c"
    assert len(server.requests) == 7


@pytest.mark.slow
async def test_lasting_overload_is_an_error(server: Faulty) -> None:
    server.answers = [status(429, {"error": {"message": "queue full"}})]
    client = ChatServer(server.url, "tiny", retries=2)
    with pytest.raises(GeneratorUnavailableError, match=r"status 429: queue full\): try later"):
        client.generate(QUESTION, HITS)
    with pytest.raises(GeneratorUnavailableError, match="queue full"):
        await client.agenerate(QUESTION, HITS)
    with pytest.raises(GeneratorUnavailableError, match="queue full"):
        next(client.stream(QUESTION, HITS))
    assert len(server.requests) == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "body", "message"),
    [
        (401, "", "refused the API key"),
        (404, {"message": "The model `x` does not exist."}, "no such model .*does not exist"),
        (400, {"error": {"message": "too long: 9000 tokens"}}, "status 400.*too long: 9000 tokens"),
        (422, "plain words", "status 422.*plain words"),
    ],
)
async def test_a_refusal_is_not_tried_again(
    server: Faulty, code: int, body: object, message: str
) -> None:
    server.answers = [status(code, body)]
    client = ChatServer(server.url, "tiny")
    with pytest.raises(GeneratorRefusedError, match=message):
        client.generate(QUESTION, HITS)
    with pytest.raises(GeneratorRefusedError, match=message):
        await client.agenerate(QUESTION, HITS)
    with pytest.raises(GeneratorRefusedError, match=message):
        list(client.stream(QUESTION, HITS))
    assert len(server.requests) == 3


@pytest.mark.slow
async def test_a_server_without_a_model_is_an_error(server: Faulty) -> None:
    server.models = []
    client = ChatServer(server.url)
    with pytest.raises(GenerationError, match="/models names no model: give the model's name"):
        client.generate(QUESTION, HITS)
    with pytest.raises(GenerationError, match="names no model"):
        await client.agenerate(QUESTION, HITS)
    assert server.requests == []
    client.close()


@pytest.mark.slow
async def test_a_stream_that_breaks_off_is_an_error_after_its_pieces(server: Faulty) -> None:
    server.answers = [stream("14 ", "da", end="")]
    client = ChatServer(server.url, "tiny")
    blocking, awaited = client.stream(QUESTION, HITS), client.astream(QUESTION, HITS)
    assert [next(blocking), next(blocking)] == ["14 ", "da"]
    with pytest.raises(GenerationError, match="broke off after 5 characters"):
        next(blocking)
    assert [await anext(awaited), await anext(awaited)] == ["14 ", "da"]
    with pytest.raises(GenerationError, match="broke off after 5 characters"):
        await anext(awaited)
    assert len(server.requests) == 2  # what is out cannot be asked for again


@pytest.mark.slow
def test_an_error_inside_a_stream_is_an_error(server: Faulty) -> None:
    def answer(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b'data: {"error": {"message": "out of memory"}}\n\n')

    server.answers = [answer]
    with pytest.raises(GenerationError, match="failed: out of memory"):
        list(ChatServer(server.url, "tiny").stream(QUESTION, HITS))


@pytest.mark.slow
async def test_an_overload_reported_inside_a_stream_is_tried_again(server: Faulty) -> None:
    """As vLLM does, with status 200."""

    def busy(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(
            b'data: {"error": {"message": "busy", "code": 503}}\n\ndata: [DONE]\n\n'
        )

    client = ChatServer(server.url, "tiny", retries=2)
    server.answers = [busy, stream("a"), busy, stream("b")]
    assert next(iter(client.stream(QUESTION, HITS))) == "a"
    found = client.astream(QUESTION, HITS)
    assert await anext(found) == "b"
    await found.aclose()  # type: ignore[attr-defined]
    server.answers = [busy]
    with pytest.raises(GeneratorUnavailableError, match=r"cannot answer now \(busy\)"):
        next(iter(client.stream(QUESTION, HITS)))
    with pytest.raises(GeneratorUnavailableError, match="busy"):
        await anext(client.astream(QUESTION, HITS))
    assert len(server.requests) == 10
    await client.aclose()


@pytest.mark.slow
async def test_a_stream_that_ends_before_its_first_word_is_tried_again(server: Faulty) -> None:
    client = ChatServer(server.url, "tiny", retries=1)
    server.answers = [stream(end=""), stream("a"), stream(end=""), stream("b"), whole("no stream")]
    assert next(client.stream(QUESTION, HITS)) == "a"
    found = client.astream(QUESTION, HITS)
    assert await anext(found) == "b"
    await found.aclose()  # type: ignore[attr-defined]
    with pytest.raises(GeneratorUnavailableError, match="ended its stream before the first event"):
        next(client.stream(QUESTION, HITS))
    assert len(server.requests) == 6
    await client.aclose()


@pytest.mark.slow
async def test_a_refusal_in_another_encoding(server: Faulty) -> None:
    def answer(handler) -> None:
        handler.send_response(400)
        handler.end_headers()
        handler.wfile.write("trop de jetons: trop répété".encode("latin-1"))

    server.answers = [answer]
    client = ChatServer(server.url, "tiny")
    with pytest.raises(GeneratorRefusedError, match=r"status 400.*trop de jetons"):
        next(client.stream(QUESTION, HITS))
    with pytest.raises(GeneratorRefusedError, match=r"status 400.*trop de jetons"):
        await anext(client.astream(QUESTION, HITS))
    await client.aclose()


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    ["<html>", "[]", {"choices": []}, {"choices": [{"message": 3}]},
     {"choices": [{"message": {"content": 3}}]}],
)  # fmt: skip
def test_what_is_no_chat_completion_is_an_error(server: Faulty, body: object) -> None:
    server.answers = [status(200, body)]
    with pytest.raises(GenerationError, match="is no chat completion"):
        ChatServer(server.url, "tiny").generate(QUESTION, HITS)


@pytest.mark.slow
def test_a_body_that_cannot_be_unpacked_is_an_error(server: Faulty) -> None:
    def answer(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(b"no gzip")

    server.answers = [answer]
    with pytest.raises(GenerationError, match="DecodingError"):
        ChatServer(server.url, "tiny", retries=0).generate(QUESTION, HITS)


@pytest.mark.slow
async def test_nobody_there() -> None:
    with faulty_server() as gone:
        url = gone.url
    client = ChatServer(url, "tiny", retries=1)
    with pytest.raises(GeneratorUnavailableError, match="no chat server answers at http://127"):
        client.generate(QUESTION, HITS)
    with pytest.raises(GeneratorUnavailableError, match="start it, or correct the URL"):
        await client.agenerate(QUESTION, HITS)
    with pytest.raises(GeneratorUnavailableError, match="no chat server answers"):
        _ = ChatServer(url, retries=0).model


@pytest.mark.slow
def test_silence_ends_at_the_timeout(server: Faulty) -> None:
    server.answers = [whole("late", after=5.0)]
    started = time.perf_counter()
    with pytest.raises(GeneratorUnavailableError, match="ReadTimeout"):
        ChatServer(server.url, "tiny", timeout=0.2, retries=0).generate(QUESTION, HITS)
    assert time.perf_counter() - started < 4


# -- many at once ---------------------------------------------------------------------------


@pytest.mark.slow
async def test_no_more_requests_at_a_time_than_allowed(server: Faulty) -> None:
    server.answers = [whole("fine", after=0.05)]
    client = ChatServer(server.url, "tiny", max_concurrency=3)
    found = await asyncio.gather(*(client.agenerate(QUESTION, HITS) for _ in range(12)))
    assert [one.text for one in found] == ["fine"] * 12
    assert server.most == 3
    threads = [threading.Thread(target=client.generate, args=(QUESTION, HITS)) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 21
    assert server.most == 3


@pytest.mark.slow
async def test_hanging_up_stops_the_server(server: Faulty) -> None:
    server.answers = [stream(*["word "] * 500, every=0.01)]
    client = ChatServer(server.url, "tiny", max_concurrency=1)
    pieces = client.stream(QUESTION, HITS)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(10)

    server.hung_up.clear()
    slow = client.astream(QUESTION, HITS)
    await anext(slow)
    await slow.aclose()
    assert await asyncio.to_thread(server.hung_up.wait, 10)

    server.answers = [whole("next")]
    assert client.generate(QUESTION, HITS).text == "next"  # its connection is free again


@pytest.mark.slow
def test_one_client_serves_several_event_loops(server: Faulty) -> None:
    server.answers = [whole("fine")]
    client = ChatServer(server.url, "tiny")
    for _ in range(3):
        assert asyncio.run(client.agenerate(QUESTION, HITS)).text == "fine"


@pytest.mark.slow
def test_connections_of_event_loops_that_ended_are_let_go(server: Faulty) -> None:
    def kept_open(handler) -> None:
        handler.protocol_version, handler.close_connection = "HTTP/1.1", False
        whole("fine")(handler)

    server.answers = [kept_open]
    client = ChatServer(server.url, "tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # nobody can close them any more
        for _ in range(4):
            asyncio.run(client.agenerate(QUESTION, HITS))
        gc.collect()
        assert len(client._connection._aclients) == 1
        client._connection._aclients.clear()
        gc.collect()
    client.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "localhost:8000"}, "url is 'localhost:8000': expected one such as 'http://"),
        ({"url": "http:///v1"}, "url is 'http:///v1': expected one such as"),
        ({"url": "http://localhost:abc/v1"}, "url is .*: Invalid port: 'abc'"),
        ({"api_key": "secret\n"}, "api_key has characters that no HTTP header carries"),
        ({"api_key": "clé"}, "api_key has characters"),
        ({"max_tokens": 0}, "max_tokens is 0: expected 1 or more"),
        ({"temperature": -1}, "temperature is -1"),
        ({"timeout": 0}, "timeout is 0"),
        ({"retries": -1}, "retries is -1: expected 0 or more"),
        ({"max_concurrency": 0}, "max_concurrency is 0"),
        ({"prompt": "nothing"}, "no prompt 'nothing': expected a YAML file or cited"),
    ],
)
def test_settings_are_checked(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ChatServer(**{"url": "http://localhost:8000/v1", **options})
