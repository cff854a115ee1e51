"""`unimoer-rag ranking find-heads`: heads of a model, in a file that ranks with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command
from generation.tiny_llm import save_llm
from training.toy import write_toy

from unimoer_rag.cli import output
from unimoer_rag.generation import LocalLLM
from unimoer_rag.ranking import FoundHeads, InContextRanks

OPTIONS = ("--questions", 3, "--negatives", 2, "--dtype", "float32", "--device", "cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("llm") / "tiny", max_position_embeddings=4096)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("heads") / "toy")


def test_heads_are_found_and_rank(
    run: Command, model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_EVERY", 0)
    out = tmp_path / "made" / "heads.json"
    words = ("ranking", "find-heads", "--model", model, "--data", data, *OPTIONS)
    result = run(*words, "--top", 3, "--temperature", 0.1, "--rows", "ending", "--out", out)
    assert result.exit_code == 0, result.output
    assert "heads of tiny" in result.stdout
    assert "passages: 24 of 24" in result.stderr
    assert "questions: 3 of 3" in result.stderr
    llm = LocalLLM(str(model), device="cpu", dtype="float32")
    found = FoundHeads.load(out, llm)
    assert (len(found.heads), found.questions, found.negatives) == (3, 3, 2)
    assert found.data == "toy, train, negatives by BM25"
    assert str(tmp_path) not in out.read_text()
    assert found.rows == "ending"
    ranks = InContextRanks(llm, heads=found.pairs, rows=found.rows)
    assert ranks.rank("When?", ["It opens at four.", "Berlin"]).any()
    again = run(*words, "--top", 3, "--temperature", 0.1, "--rows", "ending", "--out", "-")
    assert json.loads(again.stdout) == json.loads(out.read_text())


def test_what_cannot_be_is_one_line(run: Command, model: Path, data: Path, tmp_path: Path) -> None:
    words = ("ranking", "find-heads", "--model", model, "--data", data, *OPTIONS)
    result = run(*words, "--top", 13, "--out", tmp_path / "heads.json")
    assert result.exit_code == 1
    assert "error: top is 13" in result.stderr
    result = run(*words, "--out", tmp_path)
    assert result.exit_code == 1
    assert "a folder: name a file" in result.stderr
    nowhere = ("ranking", "find-heads", "--model", tmp_path / "none", "--data", data)
    result = run(*nowhere, "--out", tmp_path / "heads.json")
    assert result.exit_code == 1
    assert "none" in result.stderr
    assert not (tmp_path / "heads.json").exists()
