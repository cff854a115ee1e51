"""`unimoer-rag train`: micro runs, interruptions, own documents, and what cannot be trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_helpers import Command, start, write_lines
from model.tiny_models import save_backbone

TASKS = ("embed", "rerank", "read")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone that trains in a second."""
    return save_backbone("bert", tmp_path_factory.mktemp("cli-tiny"))


def recipe(folder: Path, backbone: Path, *, name: str = "micro", **changes: Any) -> Path:
    """A file of a small recipe with every objective."""
    kinds = {"embed": "contrastive", "rerank": "ranking", "read": "reading"}
    whole: dict[str, Any] = {
        "name": "micro",
        "backbone": str(backbone),
        "experts": {"shared": {"r": 2, "lora_alpha": 4}},
        "tasks": [
            {"name": name, "head": head, "experts": ["shared"], "max_tokens": 64}
            for name, head in zip(TASKS, ("vector", "late", "span"), strict=True)
        ],
        "mining": {"passages": 100, "questions": 10, "depth": 5, "ceiling": None},
        "objectives": {
            task: {"kind": kinds[task], "task": task, "sources": ["micro"], "size": 2}
            for task in TASKS
        },
        "optimizer": {"steps": 2, "learning_rate": {"default": 1e-3}, "token_budget": 256},
        "validation_questions": 4,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(whole | changes), encoding="utf-8")
    return path


@pytest.mark.slow
def test_trains_validates_and_leaves_a_checkpoint(
    run: Command, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    words = ("train", recipe(tmp_path, tiny), "--data", dataset.parent, "--output", output)
    result = run(*words, "--seed", 3, "--track", "tensorboard")
    assert result.exit_code == 0, result.output
    assert "done: the checkpoint is in" in result.stdout
    assert "step 2: " in result.stderr
    assert " tokens/s" in result.stderr
    assert "validation: micro/f1" in result.stderr
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]
    assert "validation" in log[-1]
    assert list((output / "tensorboard").rglob("events.*"))
    assert json.loads((output / "recipe.json").read_text())["seed"] == 3

    again = json.loads(run("train", "resume", output, "--json").stdout)  # nothing is left to do
    assert again["finished"] is True
    described = run("info", again["checkpoint"], "--json")
    assert json.loads(described.stdout)["experts"]["shared"]["rank"] == 2


@pytest.mark.slow
def test_of_several_processes_the_first_speaks(dataset: Path, tiny: Path, tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")
    train = ("train", recipe(tmp_path, tiny), "--data", dataset.parent, "--no-validate", "--json")
    ended = subprocess.run(
        [sys.executable, *launcher, "unimoer_rag.cli.main", *map(str, train)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["finished"] is True  # one value, not one a process
    assert ended.stderr.count("step 2: ") == 1


@pytest.mark.slow
def test_an_interrupted_run_is_saved_and_resumed(
    run: Command, dataset: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ("--set", "optimizer.steps=30")
    words = (
        *("train", recipe(tmp_path, tiny), "--data", dataset.parent, *steps),
        *("--output", "run", "--no-validate"),
    )
    process = start(*words, folder=tmp_path)
    log = tmp_path / "run" / "log.jsonl"
    _wait(lambda: log.is_file() and log.read_text().count("\n") >= 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "go on with unimoer-rag train resume run" in said
    assert "Traceback" not in said
    done = log.read_text().splitlines()
    assert 2 <= len(done) < 30

    # The data moved in between.
    moved = tmp_path / "moved"
    moved.symlink_to(dataset.parent)
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["data"] == str(dataset.parent)
    monkeypatch.chdir(tmp_path)
    resumed = run("train", "resume", "run", "--data", "moved")
    assert resumed.exit_code == 0, resumed.stderr
    assert "done: the checkpoint is in run/checkpoint" in resumed.stdout
    lines = log.read_text().splitlines()
    assert lines[: len(done)] == done
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 31))


@pytest.mark.slow
def test_runs_and_recipes_are_listed(
    run: Command, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    words = ("--data", dataset.parent, "--no-validate", "--output", tmp_path / "runs" / "one")
    assert run("train", recipe(tmp_path, tiny), *words).exit_code == 0
    old = tmp_path / "runs" / "old"
    old.mkdir()
    (old / "recipe.json").write_text("{}", encoding="utf-8")
    found = json.loads(run("train", "ls", tmp_path / "runs", "--json").stdout)
    assert [(r["state"], r["name"]) for r in found["runs"]] == [
        ("unreadable", ""),
        ("finished", "micro"),
    ]
    one = found["runs"][1]
    assert (one["step"], one["steps"]) == (2, 2)
    assert set(one["losses"]) >= {"embed/info-nce", "rerank/lce", "read/span"}
    assert "minilm" in found["recipes"]
    shown = run("train", "ls", tmp_path / "runs").stdout
    assert "2/2" in shown
    assert "minilm" in shown
    assert "no runs under" in run("train", "ls", tmp_path / "nowhere").stdout


@pytest.mark.slow
def test_a_recipe_is_shown_with_defaults_and_cost(run: Command, tiny: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, tiny)
    found = json.loads(run("train", "show", path, "--json", "--set", "seed=9").stdout)
    assert found["recipe"]["seed"] == 9
    assert found["recipe"]["optimizer"]["clip"] == 1.0  # a default
    estimated = found["estimate"]
    assert estimated["experts"] == {"shared": 2 * 3 * (4 * 64 + 2 * 80)}
    assert estimated["memory"]["H200"]["total"] > estimated["memory"]["H200"]["activations"] > 0
    shown = run("train", "show", path).stdout
    assert yaml.safe_load(shown[: shown.index("\n\n")])["name"] == "micro"
    assert "computed and not measured" in shown
    # No weights of it are here, and none are asked for.
    large = json.loads(run("train", "show", "mistral-7b", "--json").stdout)["estimate"]
    assert large["backbone"] == 7_113_805_824


def test_all_that_is_wrong_is_told_at_once(
    run: Command, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, tiny)
    words = ("train", "validate", path, "--data", dataset.parent)
    good = run(*words, "--json")
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout) == {
        "problems": [],
        "data": {"micro": {"passages": 10, "questions": 10, "answered": 10}},
        "mined": {},
    }
    assert "nothing is wrong" in run(*words).stdout
    bad = run(
        *("train", "validate", path, "--data", dataset.parent),
        *("--set", "backbone=nonesuch", "--set", 'objectives.read.sources=["absent"]'),
        *("--set", "objectives.rerank.sources=[gone]", "--set", "start=./nowhere"),
    )
    assert bad.exit_code == 1
    for said in ("backbone: ", "data set absent: ", "data set gone: ", "start: "):
        assert said in bad.stderr
    assert "micro: 10 passages" in bad.stdout


def test_what_an_objective_would_refuse_of_its_data_is_told(
    run: Command, tiny: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "pairs.jsonl", [{"query": "a?", "positive": "a"}])
    write_lines(tmp_path / "labels.jsonl", [{"text": "a", "label": "perhaps"}])
    path = recipe(
        tmp_path,
        tiny,
        data={
            "pairs": {"format": "triples", "path": "pairs.jsonl"},
            "labels": {"format": "labelled", "path": "labels.jsonl"},
        },
        tasks=[
            {"name": "rerank", "head": "late", "experts": ["shared"]},
            {"name": "topic", "head": "class", "experts": ["shared"], "labels": ["yes", "no"]},
        ],
        objectives={
            "bare": {"kind": "ranking", "task": "rerank", "sources": ["pairs"], "size": 1},
            "taught": {
                **{"kind": "ranking", "task": "rerank", "sources": ["pairs"], "size": 1},
                "losses": [{"kind": "kl"}],
            },
            "topic": {"kind": "classification", "task": "topic", "sources": ["labels"], "size": 1},
        },
    )
    result = run("train", "validate", path, "--data", tmp_path, "--json")
    assert result.exit_code == 1, result.output
    problems = json.loads(result.stdout)["problems"]
    assert len(problems) == 3
    for said in (
        "objectives.bare: no query of pairs has a passage that does not answer",
        "objectives.taught: no query of pairs",
        "the label 'perhaps' is none of the task topic's, expected one of yes, no",
    ):
        assert any(said in problem for problem in problems)
    begun = run("train", path, "--data", tmp_path, "--output", tmp_path / "run", "--no-validate")
    assert begun.exit_code == 1
    assert "objectives.bare: no query of pairs" in begun.stderr.replace("\n", "")


@pytest.mark.slow
def test_runs_are_called_as_their_recipes(
    run: Command,
    dataset: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minilm").mkdir()  # a folder that happens to be called as a recipe is
    assert run("train", "show", "minilm", "--json").exit_code == 0
    path = recipe(tmp_path, tiny, name="mine-0.6b")
    result = run("train", path, "--data", dataset.parent, "--no-validate", "--json")
    assert json.loads(result.stdout)["run"] == "runs/mine-0.6b"
    log = tmp_path / "runs" / "mine-0.6b" / "log.jsonl"
    with log.open("ab") as file:
        file.write(b"\xff\xfe")  # what a crash may leave
    assert json.loads(run("train", "ls", "--json").stdout)["runs"][0]["step"] == 2
    assert run("train", "resume", "runs/mine-0.6b").exit_code == 0


@pytest.mark.slow
def test_own_documents_in_one_command(run: Command, docs: Path, tiny: Path, tmp_path: Path) -> None:
    asked = [
        ("How soon are refunds paid?", "within 14 days", "refunds.md"),
        ("What must reach you for a refund?", "the item", "refunds.md"),
        ("When does the shop open?", "9 am", "hours.md"),
        ("When does the shop close?", "6 pm", "hours.md"),
        ("On which days is it shut?", "Sundays", "hours.md"),
        ("What does a tent cost?", "20 pounds", "rental.txt"),
        ("How large is the deposit?", "50 pounds", "rental.txt"),
        ("How long can I have a tent?", "a weekend", "rental.txt"),
        ("What colour is the tent?", "green", "rental.txt"),
    ]
    questions = tmp_path / "questions.jsonl"
    write_lines(questions, [{"question": q, "answer": a, "source": s} for q, a, s in asked])
    words = ("train", recipe(tmp_path, tiny), "--own", docs, "--questions", questions)
    result = run(*words, "--output", tmp_path / "own", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["finished"] is True
    counts = found["questions"]
    assert (counts["given"], counts["train"], counts["held_out"]) == (9, 6, 2)
    assert "green" in counts["not_found"][0]
    assert set(found["differences"]) == {"retrieval nDCG@10", "rerank nDCG@10", "answers f1"}
    assert found["judgement"] in ("better", "worse", "mixed", "undecided")
    difference = found["differences"]["retrieval nDCG@10"]
    assert difference["n"] == 2
    compared = json.loads(
        run(
            "report",
            "compare",
            tmp_path / "own" / "before.json",
            tmp_path / "own" / "after.json",
            "--json",
        ).stdout
    )
    assert compared["differences"]["retrieval"]["nDCG@10"] == difference
    shown = run("train", "resume", tmp_path / "own")
    assert shown.exit_code == 0, shown.output
    assert "6 questions to train on, 2 held out" in shown.stdout.replace("\n", " ")
    assert "keep " in shown.stdout or "use the trained checkpoint" in shown.stdout
    moved = run("train", "resume", tmp_path / "own", "--data", tmp_path)
    assert "learns from documents and has no --data" in moved.stderr.replace("\n", " ")
    # Other questions held out might be ones that it has learnt from.
    write_lines(questions, [{"question": f"{q} Say", "answer": a} for q, a, _ in asked])
    changed = run("train", "resume", tmp_path / "own")
    assert changed.exit_code == 1
    assert "documents or questions have changed" in changed.stderr.replace("\n", " ")


@pytest.mark.slow
def test_what_cannot_be_trained(run: Command, dataset: Path, tiny: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, tiny)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list.yaml").write_text("[1, 2]", encoding="utf-8")
    (tmp_path / "open.yaml").write_text("{", encoding="utf-8")
    data = ("--data", dataset.parent)
    for words, said in [
        (("no-such-recipe", *data), "no recipe 'no-such-recipe'"),
        (("nope",), "no recipe 'nope': expected a YAML file or one of minilm"),
        (("resum",), "did you mean 'resume'?"),
        (("minilmm",), "did you mean 'minilm'?"),
        (("x" * 5000,), "no recipe 'xxx"),
        ((tmp_path / "binary.yaml", *data), "binary.yaml"),
        ((tmp_path / "list.yaml", *data), "list.yaml"),
        ((tmp_path / "open.yaml", *data), "is not YAML"),
        ((recipe(tmp_path, tiny, name="odd", colour="red"), *data), "colour"),
        (("run", "ls", *data), "'ls' is a command of unimoer-rag train"),
        ((path,), "say where the data sets are"),
        ((path, "--own", tmp_path), "--own and --questions go together"),
        ((path, "--own", tmp_path, "--questions", path, *data), "--own and --data exclude"),
        ((path, *data, "--seed", 2**70), "seed: Input should be less than"),
        ((path, *data, "--set", "routing.sparsity=0.1"), "routing.sparsity: Extra inputs"),
        ((path, *data, "--set", "optimizer.steps"), "expected KEY=VALUE"),
        ((path, *data, "--set", "optimizer.stesp=3"), "optimizer.stesp: Extra inputs"),
        ((path, *data, "--set", "optimiser.steps=3"), "there is no 'optimiser' here"),
        ((path, *data, "--set", "optimizer.steps=many"), "optimizer.steps: Input should be"),
        ((path, *data, "--set", "tasks.7.head=late"), "there is no '7' here, expected one of 0, 1"),
        ((path, *data, "--set", "tasks.0.head=late"), "has the head 'late', expected vector"),
        ((path, "--data", tmp_path / "nowhere"), "nowhere"),
        (("resume", tmp_path / "nowhere"), "holds no run"),
    ]:
        output = () if words[0] == "resume" else ("--output", tmp_path / "run")
        result = run("train", *words, *output)
        assert result.exit_code == 1, (words, result.output)
        assert result.stderr.startswith("error: ")
        assert said in result.stderr.replace("\n", "")


@pytest.mark.slow
def test_another_recipe_in_the_folder(
    run: Command, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, tiny)
    words = ("train", path, "--output", tmp_path / "run", "--no-validate", "--data")
    assert run(*words, dataset.parent).exit_code == 0
    kept = (tmp_path / "run" / "run.json").read_bytes()
    result = run(*words, tmp_path, "--set", "seed=4")
    assert result.exit_code == 1
    assert "another recipe" in result.stderr
    assert (tmp_path / "run" / "run.json").read_bytes() == kept


def _wait(ready: object, seconds: float = 120) -> None:
    assert callable(ready)
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            pytest.fail("the run did not get to its second step")
        time.sleep(0.02)
