"""`unimoer-rag train`: a micro run, an interruption, and what cannot be trained."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import yaml
from cli_helpers import Command, start

RECIPE = {
    "name": "micro",
    "backbone": "minilm",
    "experts": {"shared": {"r": 2, "lora_alpha": 4}},
    "tasks": [
        {"name": "embed", "head": "vector", "experts": ["shared"]},
        {"name": "rerank", "head": "late", "experts": ["shared"]},
        {"name": "read", "head": "span", "experts": ["shared"]},
    ],
    "mining": {"sources": ["micro"], "passages": 100, "questions": 10, "depth": 5},
    "embedding": {"queries": 2},
    "ranking": {"groups": 1, "negatives": 2},
    "reading": {"sources": ["micro"], "examples": 2},
    "optimizer": {"steps": 2, "learning_rate": {"default": 1e-4}, "token_budget": 256},
    "validation_questions": 4,
}


def recipe(folder: Path, *, steps: int = 2, **changes: object) -> Path:
    path = folder / "micro.yaml"
    optimizer = {**RECIPE["optimizer"], "steps": steps}  # type: ignore[dict-item]
    path.write_text(yaml.safe_dump({**RECIPE, "optimizer": optimizer, **changes}), encoding="utf-8")
    return path


def test_trains_validates_and_leaves_a_checkpoint(
    run: Command, dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    words = ("train", recipe(tmp_path), "--data", dataset.parent, "--output", output)
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert "done: the checkpoint is in" in result.stdout
    assert "validation: " in result.stderr
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]
    assert "validation" in log[-1]

    again = json.loads(run(*words, "--json").stdout)  # nothing is left to do
    assert again["finished"] is True
    described = run("info", again["checkpoint"], "--json")
    assert json.loads(described.stdout)["experts"]["shared"]["rank"] == 2


def test_an_interrupted_run_is_saved_and_goes_on(dataset: Path, tmp_path: Path) -> None:
    words = (
        *("train", recipe(tmp_path, steps=15), "--data", dataset.parent),
        *("--output", "run", "--no-validate"),
    )
    process = start(*words, folder=tmp_path)
    log = tmp_path / "run" / "log.jsonl"
    _wait(lambda: log.is_file() and log.read_text().count("\n") >= 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "run the same command to go on" in said
    assert "Traceback" not in said
    done = log.read_text().splitlines()
    assert 2 <= len(done) < 15

    process = start(*words, folder=tmp_path)
    stdout, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "done: the checkpoint is in run/checkpoint" in stdout
    lines = log.read_text().splitlines()
    assert lines[: len(done)] == done
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 16))


def test_what_cannot_be_trained(run: Command, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list.yaml").write_text("[1, 2]", encoding="utf-8")
    (tmp_path / "open.yaml").write_text("{", encoding="utf-8")
    for name, said in [
        ("no-such-recipe", "no recipe 'no-such-recipe'"),
        (tmp_path / "binary.yaml", "binary.yaml"),
        (tmp_path / "list.yaml", "list.yaml"),
        (tmp_path / "open.yaml", "is not YAML"),
        (recipe(tmp_path, colour="red"), "colour"),
    ]:
        result = run("train", name, "--data", dataset.parent, "--output", tmp_path / "run")
        assert result.exit_code == 1, name
        assert result.stderr.startswith("error: ")
        assert said in result.stderr.replace("\n", "")
    missing = run("train", recipe(tmp_path), "--data", tmp_path / "nowhere", "--output", "run")
    assert missing.exit_code == 1
    assert "nowhere" in missing.stderr


def test_another_recipe_in_the_folder(run: Command, dataset: Path, tmp_path: Path) -> None:
    words = ("--data", dataset.parent, "--output", tmp_path / "run", "--no-validate")
    assert run("train", recipe(tmp_path, steps=1), *words).exit_code == 0
    result = run("train", recipe(tmp_path, steps=3), *words)
    assert result.exit_code == 1
    assert "another recipe" in result.stderr


def _wait(ready: object, seconds: float = 120) -> None:
    assert callable(ready)
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            pytest.fail("the run did not get to its second step")
        time.sleep(0.1)
