"""`unimoer-rag info`: what a checkpoint is made of."""

from __future__ import annotations

import json
from pathlib import Path

from cli_helpers import Command


def test_text(run: Command) -> None:
    result = run("info", "minilm")
    assert result.exit_code == 0
    assert "parameters: backbone" in result.stdout
    assert "22,565,376" in result.stdout
    assert "mean routing weight" in result.stdout
    assert "late head, experts rerank, shared, strength 1, feedback 0" in " ".join(
        result.stdout.replace("│", "").split()
    )


def test_json(run: Command, eager_reader: Path) -> None:
    found = json.loads(run("info", eager_reader, "--json").stdout)
    assert found["backbone"] == "minilm"
    assert found["layers"] == 6
    assert found["parameters"]["backbone"] == 22_565_376
    assert set(found["routing"]) == set(found["tasks"])
    assert found["tasks"]["rerank"]["feedback"] == 0
    assert "feedback" not in found["tasks"]["embed"]


def test_an_unknown_checkpoint(run: Command) -> None:
    result = run("info", "nothing-of-that-name")
    assert result.exit_code == 1
    assert "no checkpoint 'nothing-of-that-name'" in result.stderr


def test_the_default_checkpoint(run: Command) -> None:
    found = json.loads(run("info", "--json").stdout)
    assert found["checkpoint"] == "unimoer-minilm"
