"""`unimoer-rag eval --mteb`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command
from evaluation.test_mteb import Handbook

pytestmark = pytest.mark.slow


def test_a_task_is_measured_and_told(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unimoer_rag.evaluation.find_tasks", lambda names: [Handbook()])
    words = ("eval", "--mteb", "HandbookRetrieval", "--checkpoint", "minilm")
    result = run(*words, "--json", tmp_path / "out.json", "--mteb-cache", tmp_path / "kept")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["role"] == "encoder"
    (task,) = found["tasks"]
    assert task["measure"] == "ndcg_at_10"
    assert f"{task['score']:.4f}" in result.stdout


def test_what_cannot_be_is_told_before_a_model_is_loaded(run: Command) -> None:
    unknown = run("eval", "--mteb", "NoSuchTask")
    assert unknown.exit_code == 1
    assert "mteb has no task or benchmark 'NoSuchTask'" in unknown.stderr
    both = run("eval", "nq", "--mteb", "NFCorpus")
    assert both.exit_code == 1
    assert "--mteb takes the place of a data set" in both.stderr
