from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import EdgeStore, Record
from unimoer_rag.retrieval.types import Passage


@pytest.fixture
def index(tmp_path: Path) -> Path:
    passages = [Passage(f"refund number {n}", f"d{n}.md", metadata={"n": n}) for n in range(30)]
    with EdgeStore(tmp_path / "index", dimension=8) as store:
        store.upsert(
            Record(p, np.eye(8, dtype=np.float32)[n % 8], BM25Encoder().document(p.text))
            for n, p in enumerate(passages)
        )
    return tmp_path / "index"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["index", "verify", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.mark.slow
def test_a_whole_index(index: Path) -> None:
    code, text = run(index)
    assert (code, "is whole: 30 passages" in text) == (0, True)
    code, text = run(index, "--json")
    found = json.loads(text)
    assert code == 0
    assert (found["whole"], found["passages"], found["problems"]) == (True, 30, [])
    assert found["files"] > 20


@pytest.mark.slow
def test_an_index_is_named_as_elsewhere(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--index", index) == run(index)
    code, text = run(index, "--index", index)
    assert (code, "two indexes are named" in text) == (1, True)
    monkeypatch.setenv("UNIMOER_INDEX", str(index))
    assert run() == run(index)
    monkeypatch.setenv("UNIMOER_INDEX", "nowhere")
    assert run(index)[0] == 0  # what is typed is nearer


def test_an_index_has_to_be_named() -> None:
    code, text = run()
    assert (code, "say where the index is: unimoer-rag index verify --index DIR" in text) == (
        1,
        True,
    )


@pytest.mark.slow
def test_a_damaged_file(index: Path) -> None:
    [file] = index.glob("shard/segments/*/payload_storage/page_0.dat")
    content = bytearray(file.read_bytes())
    content[content.index(b"refund number 7")] ^= 1
    file.write_bytes(content)
    code, text = run(index, "--json")
    assert code == 1
    [problem] = json.loads(text)["problems"]
    assert problem.endswith("payload_storage/page_0.dat is not as it was written")
    code, text = run(index)
    assert code == 1
    assert "the index is damaged: restore it" in text


@pytest.mark.slow
def test_a_damaged_text_where_there_are_no_checksums(index: Path) -> None:
    (index / "checksums.json").unlink()
    code, text = run(index)
    assert (code, "no checksums" in text) == (0, True)
    assert not (index / "checksums.json").exists()  # nothing was changed
    [file] = index.glob("shard/segments/*/payload_storage/page_0.dat")
    content = bytearray(file.read_bytes())
    content[content.index(b"d17.md")] ^= 1
    file.write_bytes(content)
    code, text = run(index)
    assert code == 1
    assert "1 of 30 passages do not hold the text" in text


@pytest.mark.slow
def test_an_index_that_is_open(index: Path) -> None:
    with EdgeStore(index) as store:
        assert run(index)[0] == 0
        assert store.count() == 30


def test_no_index(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        code, text = run(path)
        assert code == 1
        assert "no index at" in text


def test_index_itself_is_what_it_was() -> None:
    result = CliRunner().invoke(app, ["index", "--help"])
    assert "--chunk-size" in result.output
    assert "index verify" in CliRunner().invoke(app, ["--help"]).output
