"""A key belongs to a server: a pipeline's file, which may come from elsewhere, chooses none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_helpers import Command
from generation.faulty_server import Faulty, faulty_server, whole

from unimoer_rag.pipelines.config import PipelineConfig

KEY = "sk-mine"
ASKED = ("ask", "how long do refunds take?")


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty_server() as server:
        server.answers = [whole("14 days [1].")]
        yield server


@pytest.fixture
def named(server: Faulty, tmp_path: Path, indexed: Path) -> Path:
    """A pipeline that names the server."""
    path = tmp_path / "theirs.yaml"
    path.write_text(
        f"retrieve: {{model: minilm, index: {indexed}}}\n"
        f"generate: {{kind: chat-server, url: '{server.url}', model: m, retries: 0}}\n",
        encoding="utf-8",
    )
    return path


def sent(server: Faulty) -> str | None:
    return server.headers.get("Authorization")


@pytest.mark.slow
def test_a_file_gets_no_key_of_the_environment(
    run: Command, server: Faulty, named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIMOER_CHAT_KEY", KEY)
    result = run(*ASKED, "--pipeline", named)
    assert result.exit_code == 0, result.output
    assert sent(server) is None
    place = urlsplit(server.url).netloc
    assert f"UNIMOER_CHAT_KEY is not sent to http://{place}" in result.stderr
    assert "theirs.yaml names: to send it, give it as --chat-key, or set " in result.stderr
    assert f"UNIMOER_CHAT_KEY_HOST to {place}" in result.stderr
    assert KEY not in result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "gets"),
    [
        ("{place}", True),
        ("127.0.0.1", True),
        ("http://{place}/v1", True),
        ("https://{place}", False),
        ("localhost", False),
        ("127.0.0.1:1", False),
        ("0.0.1", False),
        ("", False),
    ],
)
def test_a_host_that_the_user_names_gets_it(
    run: Command,
    server: Faulty,
    named: Path,
    host: str,
    gets: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNIMOER_CHAT_KEY", KEY)
    monkeypatch.setenv("UNIMOER_CHAT_KEY_HOST", host.format(place=urlsplit(server.url).netloc))
    result = run(*ASKED, "--pipeline", named)
    assert sent(server) == (f"Bearer {KEY}" if gets else None)
    assert ("is not sent" in result.stderr) == (not gets)


@pytest.mark.slow
def test_a_key_that_is_typed_is_sent(run: Command, server: Faulty, named: Path) -> None:
    run(*ASKED, "--pipeline", named, "--chat-key", KEY)
    assert sent(server) == f"Bearer {KEY}"


@pytest.mark.slow
def test_a_server_that_is_typed_gets_it(
    run: Command, server: Faulty, named: Path, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIMOER_CHAT_KEY", KEY)
    with faulty_server() as mine:
        mine.answers = [whole("14 days [1].")]
        for words in (("--index", indexed), ("--pipeline", named)):
            mine.headers = {}
            run(*ASKED, *words, "--chat-url", mine.url, "--checkpoint", "minilm")
            assert sent(mine) == f"Bearer {KEY}"
            mine.headers = {}
            monkeypatch.setenv("UNIMOER_CHAT_URL", mine.url)
            run(*ASKED, *words, "--checkpoint", "minilm")
            assert sent(mine) == f"Bearer {KEY}"
            monkeypatch.delenv("UNIMOER_CHAT_URL")
    assert server.requests == []  # the file's is not asked


@pytest.mark.slow
def test_a_key_of_the_settings_is_its_servers(
    run: Command, server: Faulty, named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "config" / "unimoer-rag"
    own.mkdir(parents=True)
    (own / "unimoer.toml").write_text(f'[keys]\n"{server.url}" = "{KEY}"\n', encoding="utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own.parent))
    result = run(*ASKED, "--pipeline", named)
    assert sent(server) == f"Bearer {KEY}"
    assert result.stderr == ""


@pytest.mark.slow
def test_qdrants_key_is_kept_back_too(
    run: Command, server: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "theirs.yaml"
    address = server.url.removesuffix("/v1")
    path.write_text(f"retrieve: {{url: '{address}', model: minilm}}\n", encoding="utf-8")
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    result = run(*ASKED, "--pipeline", path)
    assert result.exit_code == 1  # it is no Qdrant server
    assert server.headers
    assert KEY not in str(server.headers) + result.output
    assert f"QDRANT_API_KEY is not sent to {address}" in result.stderr
    run(*ASKED, "--pipeline", path, "--url", address)
    assert KEY in server.headers.values()


@pytest.mark.slow
def test_an_evaluation_keeps_it_back_too(
    run: Command, server: Faulty, named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    (data / "qrels").mkdir(parents=True)
    (data / "corpus.jsonl").write_text('{"_id": "d", "text": "Refunds take 14 days."}\n')
    (data / "queries.jsonl").write_text('{"_id": "q", "text": "how long?", "answers": ["14"]}\n')
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    monkeypatch.setenv("UNIMOER_CHAT_KEY", KEY)
    words = ("eval", "--data", data, "--checkpoint", "minilm", "--parts", "answers")
    result = run(*words, "--pipeline", named)
    assert "UNIMOER_CHAT_KEY is not sent to http://127" in result.stderr
    assert sent(server) is None


def test_what_ships_is_no_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PipelineConfig.ships("server")
    monkeypatch.chdir(tmp_path)
    Path("server").write_text("generate: {kind: chat-server, url: 'http://evil.example'}")
    assert not PipelineConfig.ships("server")
