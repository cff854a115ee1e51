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


def test_a_memory_budget_shows_what_each_setting_takes(run: Command) -> None:
    result = run("info", "minilm", "--memory-budget", "4GB", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    by_dtype = {plan["dtype"]: plan for plan in found["memory"]}
    assert list(by_dtype) == ["float32", "bfloat16", "int8", "int4"]
    assert by_dtype["float32"]["weights"] == 2 * by_dtype["bfloat16"]["weights"] == 22_565_376 * 4
    totals = [by_dtype[dtype]["total"] for dtype in ("float32", "bfloat16", "int8", "int4")]
    assert totals == sorted(totals, reverse=True)
    assert result.stderr.startswith(f"memory: {found['dtype']}: ")
    assert "of 4.00 GB (weights " in result.stderr
    text = run("info", "minilm", "--memory-budget", "4GB")
    assert "MB that each setting takes" in text.stdout


def test_a_precision_is_shown(run: Command) -> None:
    result = run("info", "minilm", "--dtype", "int8")
    assert result.exit_code == 0, result.output
    assert "frozen weights" in result.stdout
    assert "22,565,376" in result.stdout


def test_budgets_that_cannot_be(run: Command) -> None:
    small = run("info", "minilm", "--memory-budget", "1MB")
    assert small.exit_code == 1
    assert "the smallest setting, int4" in " ".join(small.stderr.split())
    wrong = run("info", "minilm", "--memory-budget", "plenty")
    assert wrong.exit_code == 1
    assert "memory budget 'plenty' is no size" in " ".join(wrong.stderr.split())
