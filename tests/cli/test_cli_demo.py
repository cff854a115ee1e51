"""`unimoer-rag demo`: the samples, indexed and asked."""

from __future__ import annotations

import filecmp
import os
from pathlib import Path

import pytest
from cli_helpers import Command

from unimoer_rag.cli.demo import QUESTIONS

HANDBOOK = Path(__file__).resolve().parents[2] / "examples" / "handbook"


@pytest.mark.slow
def test_from_nothing_to_an_answer(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("demo")
    assert result.exit_code == 0, result.output
    # Nothing to worry about: on a slow machine how far it is, and nothing else.
    told = result.stderr.splitlines()
    assert [line for line in told if not line.startswith("indexing handbook: ")] == []
    assert sorted(os.listdir(tmp_path)) == ["handbook", "handbook.index"]
    names = os.listdir(HANDBOOK)
    assert sorted(os.listdir("handbook")) == sorted(names)
    assert filecmp.cmpfiles(HANDBOOK, "handbook", names, shallow=False)[1:] == ([], [])
    said = result.stdout
    assert "$ unimoer-rag index handbook --index handbook.index\n32 documents: " in said
    assert f"$ unimoer-rag ask '{QUESTIONS[0]}' --index handbook.index\n14 days  confidence" in said
    assert f"$ unimoer-rag ask '{QUESTIONS[1]}' --index handbook.index\nno answer found" in said
    again = run("demo")
    assert "32 documents: 0 passages added" in again.stdout
    # What it told to type works as it stands, with no model named.
    assert run("search", "may I bring my dog?", "--index", "handbook.index").exit_code == 0


def test_other_documents_are_left_alone(run: Command, tmp_path: Path) -> None:
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "mine.md").write_text("mine", encoding="utf-8")
    result = run("demo", tmp_path)
    assert result.exit_code == 1
    assert "holds other documents: name another folder" in result.stderr
    assert os.listdir(tmp_path) == ["handbook"]
    assert os.listdir(tmp_path / "handbook") == ["mine.md"]
