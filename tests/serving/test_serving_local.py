"""How a shell finds the server that holds an index, and whom it does not trust."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.errors import InputError, StoreUnavailableError
from unimoer_rag.serving import RunningServer, ServeSettings, find_server, serving
from unimoer_rag.serving.local import announced, new_token

DEFAULT = SimpleNamespace(device="auto", dtype="auto")
KEY = "sk-writes-0123456789"


def find(index: Path, model: str | None = None, **settings: Any) -> RunningServer | None:
    wanted = SimpleNamespace(**{**vars(DEFAULT), **settings})
    return find_server(index, model=model, settings=wanted)


@pytest.mark.slow
def test_a_server_is_found_while_it_runs(few_documents: Path, tmp_path: Path) -> None:
    index, file = tmp_path / "index", tmp_path / "index" / ".server"
    with UnifiedRetriever("unimoer-minilm", index=index) as retriever:
        retriever.add_path(few_documents / "tent-rental.md")
        pipeline = RagPipeline(retriever)
        with serving(pipeline, ServeSettings(port=0, keys=KEY)):  # type: ignore[arg-type]
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert KEY not in file.read_text(encoding="utf-8")
            server = find(index)
            assert server is not None
            assert server.token not in repr(server)
            assert find(index, "unimoer-minilm") == server
            # One that would give other numbers is not asked.
            assert find(index, "minilm") is None
            assert find(index, dtype="int8") is None
            assert find(index, reranker="other") is None
            [hit] = server.search("deposit on a tent", k=1, rerank=3, mode="hybrid", filters=None)
            [expected] = retriever.search("deposit on a tent", k=1, rerank=3, mode="hybrid")
            assert hit.passage == expected.passage
            assert hit.score == pytest.approx(expected.score, abs=1e-2)
            answer, untrained = server.ask("How much is the deposit?", n_read=1)
            assert answer.text is not None
            assert untrained is None
            with pytest.raises(InputError, match="the query is empty"):
                server.search(" ")
            with pytest.raises(StoreUnavailableError, match="401"):
                RunningServer(server.url, "another").search("a")
        assert not file.exists()
    with pytest.raises(StoreUnavailableError, match="broke off"):
        server.search("a")


@pytest.mark.parametrize("where", ["nobody", "another"])
def test_what_a_killed_server_left_goes(where: str, url: str, tmp_path: Path) -> None:
    address = {"nobody": "http://127.0.0.1:9", "another": url}[where]
    with announced(tmp_path, url=address, token=new_token(), model=None, settings=DEFAULT):
        assert find(tmp_path) is None
        assert not (tmp_path / ".server").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 7}', None])
def test_what_is_none_of_ours_is_passed_over(text: str | None, tmp_path: Path) -> None:
    stranger = {"url": "http://stranger.invalid:80", "token": "t", "model": None, "settings": {}}
    said = json.dumps(stranger) if text is None else text
    (tmp_path / ".server").write_text(said, encoding="utf-8")
    assert find(tmp_path) is None
    assert (tmp_path / ".server").exists()
    assert find(tmp_path / "nowhere") is None
