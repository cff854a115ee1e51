"""`unimoer-rag experts`: whatever is done to other experts, a task's outputs stay bit-identical."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_helpers import Command, write_lines
from model.tiny_models import CORPUS, TEXTS, make_model, save_backbone
from safetensors.torch import load_file

from unimoer_rag import UniMoER
from unimoer_rag.training.loop.trainer import Trainer

HOURS, CITIES = ("five", "six", "nine", "four"), ("Paris", "Berlin", "France", "Germany")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A "trained" checkpoint with the default tasks, on a tiny encoder."""
    folder = tmp_path_factory.mktemp("experts")
    model = make_model(save_backbone("bert", folder / "backbone"))
    return model.save_pretrained(folder / "checkpoint")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of two kinds, told apart by their words; a few of them pairs."""
    draw, rows = random.Random(0), []
    for at in range(120):
        label = ("hours", "places")[at % 3 == 0]
        word = draw.choice(HOURS if label == "hours" else CITIES)
        text = f"the {draw.choice(['library', 'report', 'team', 'parcel'])} {word} in {at + 1900}"
        rows.append({"text": text, "label": label})
    path = tmp_path_factory.mktemp("experts") / "kinds.jsonl"
    write_lines(path, rows)
    return path


def outputs(folder: Path) -> list[np.ndarray]:
    """What the old tasks give, as a user gets it."""
    model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    readings = model.read("who wrote it?", TEXTS)
    return [
        model.embed(TEXTS),
        model.embed(CORPUS, "query"),
        model.score(TEXTS[0], TEXTS, logits=True),
        model.rank(TEXTS[0], CORPUS, logits=True),
        model.score(TEXTS[0], TEXTS, task="rerank-cross", logits=True),
        np.array([[r.start, r.end, r.margin, r.no_answer, r.probability] for r in readings]),
    ]


def assert_same(folder: Path, before: list[np.ndarray]) -> None:
    for old, new in zip(before, outputs(folder), strict=True):
        assert old.tobytes() == new.tobytes()


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def assert_kept(before: Path, after: Path) -> None:
    """Every old expert and head is in the new file, byte for byte, and so is the old routing."""
    old, new = tensors(before), tensors(after)
    for name, tensor in old.items():
        kept = new[name]
        if kept.shape != tensor.shape:  # the router has an entry more, behind the others
            assert name.startswith("router.")
            kept = kept[tuple(slice(0, n) for n in tensor.shape)]
        assert kept.contiguous().numpy().tobytes() == tensor.numpy().tobytes(), name


def add(run: Command, checkpoint: Path, data: Path, output: Path, *more: object) -> Any:
    words = ("--data", data, "--checkpoint", checkpoint, "--output", output)
    return run("experts", "add", "kinds", *words, *more)


@pytest.fixture(scope="module")
def grown(run: Command, checkpoint: Path, labelled: Path, tmp_path_factory) -> tuple[Path, Any]:
    """The checkpoint with a trained classifier, and what the command said."""
    output = tmp_path_factory.mktemp("experts") / "grown"
    more = ("--steps", 60, "--rate", 0.01, "--size", 8, "--rank", 4, "--dev-share", 0.2, "--json")
    result = add(run, checkpoint, labelled, output, *more)
    assert result.exit_code == 0, result.output
    return output, json.loads(result.stdout)


@pytest.mark.slow
def test_adding_leaves_the_old_tasks_bit_identical(checkpoint: Path, grown) -> None:
    folder, said = grown
    assert_same(folder, outputs(checkpoint))
    assert_kept(checkpoint, folder)
    assert said["unchanged"] == ["embed", "rerank", "rerank-cross", "read"]


@pytest.mark.slow
def test_the_new_task_beats_the_majority_on_held_out_texts(grown, labelled: Path) -> None:
    folder, said = grown
    assert said["held_out"] == 24
    assert said["measures"]["accuracy"] > said["baseline"]["accuracy"] + 10
    assert said["measures"]["macro_f1"] > said["baseline"]["macro_f1"] + 20
    model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    task = model.task("kinds")
    assert (task.head, task.labels, task.experts) == ("class", ("hours", "places"), ("kinds",))
    found = model.classify(["the report nine in 1950", "the team Berlin in 1951"], task="kinds")
    assert found.argmax(1).tolist() == [0, 1]


@pytest.mark.slow
def test_the_report_in_words(run: Command, checkpoint: Path, labelled: Path, tmp_path) -> None:
    result = add(run, checkpoint, labelled, tmp_path / "new", "--steps", 2, "--size", 2)
    assert result.exit_code == 0, result.output
    assert "12 held-out examples: accuracy" in result.stdout
    assert "so few tell little (one more or less right is 8 points)" in result.stdout
    assert "always saying 'hours', the label seen most often: accuracy" in result.stdout
    assert "bit-identical to before: embed, rerank, rerank-cross, read" in result.stdout
    assert f"done: the checkpoint is in {tmp_path / 'new'}" in result.stdout
    again = add(run, checkpoint, labelled, tmp_path / "new", "--steps", 2, "--size", 2)
    assert again.stdout == result.stdout  # nothing was left to do
    other = add(run, checkpoint, labelled, tmp_path / "new", "--steps", 3, "--size", 2)
    assert other.exit_code == 1
    assert "another recipe" in other.stderr


@pytest.mark.slow
def test_an_interrupted_run_goes_on(
    run: Command, checkpoint: Path, labelled: Path, tmp_path: Path, monkeypatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    more = ("--steps", 8, "--size", 2)
    assert add(run, checkpoint, labelled, whole, *more).exit_code == 0

    step = Trainer.train_step

    def pressed(self: Trainer, *args: Any) -> Any:
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C, in the middle of the fourth step
        return step(self, *args)

    monkeypatch.setattr(Trainer, "train_step", pressed)
    result = add(run, checkpoint, labelled, broken, *more)
    assert result.exit_code == 130, result.output
    assert "run the same command to go on" in result.stderr.replace("\n", " ")
    assert not (broken / "adapter_config.json").exists()
    log = broken / "run" / "log.jsonl"
    done = log.read_text().splitlines()
    assert len(done) == 4
    monkeypatch.undo()

    assert add(run, checkpoint, labelled, broken, *more).exit_code == 0
    assert log.read_text().splitlines()[:4] == done
    assert_same(broken, outputs(checkpoint))
    name = "adapter_model.safetensors"
    assert (broken / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_removing_it_again_gives_the_old_checkpoint(
    run: Command, checkpoint: Path, grown, tmp_path: Path
) -> None:
    words = ("experts", "remove", "kinds", "--checkpoint", grown[0], "--output", tmp_path / "less")
    refused = run(*words)
    assert refused.exit_code == 1
    assert "named by the task 'kinds'" in refused.stderr.replace("\n", " ")
    assert not (tmp_path / "less").exists()
    assert run(*words, "--tasks").exit_code == 0
    old, new = tensors(checkpoint), tensors(tmp_path / "less")
    assert {n: t.numpy().tobytes() for n, t in old.items()} == {
        n: t.numpy().tobytes() for n, t in new.items()
    }
    assert_same(tmp_path / "less", outputs(checkpoint))


@pytest.mark.slow
def test_list(run: Command, grown) -> None:
    words = ("experts", "list", "--checkpoint", grown[0])
    found = json.loads(run(*words, "--json").stdout)
    assert list(found) == ["shared", "embed", "rerank", "read", "kinds"]
    assert found["kinds"]["rank"] == 4
    assert found["kinds"]["tasks"] == ["kinds"]
    assert found["shared"]["tasks"] == ["embed", "rerank", "rerank-cross", "read"]
    table = run(*words).stdout
    assert "kinds" in table
    assert "everywhere" in table


@pytest.mark.slow
def test_exporting_and_importing_an_expert(run: Command, checkpoint, grown, tmp_path) -> None:
    pytest.importorskip("peft")
    adapter, taken = tmp_path / "adapter", tmp_path / "taken"
    files = {path: path.read_bytes() for path in sorted(grown[0].iterdir()) if path.is_file()}
    exported = run("experts", "export", "kinds", "--checkpoint", grown[0], "--output", adapter)
    assert exported.exit_code == 0, exported.output
    assert {path: path.read_bytes() for path in files} == files
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 4
    words = ("--adapter", adapter, "--checkpoint", checkpoint, "--output", taken)
    imported = run("experts", "import", "guest", *words)
    assert imported.exit_code == 0, imported.output
    assert_same(taken, outputs(checkpoint))
    theirs, ours = tensors(grown[0]), tensors(taken)
    for name, tensor in theirs.items():
        if name.startswith("experts.kinds."):
            assert torch.equal(ours[name.replace(".kinds.", ".guest.")], tensor)


@pytest.mark.slow
def test_merging_others_leaves_the_rest_bit_identical(run: Command, grown, tmp_path) -> None:
    folder = tmp_path / "merged"
    words = ("--checkpoint", grown[0], "--output", folder)
    result = run("experts", "merge", "rerank", "read", "--into", "search", *words)
    assert result.exit_code == 0, result.output
    assert "relative error of the weights: " in result.stdout
    before, after = outputs(grown[0]), outputs(folder)
    for at in (0, 1):  # embedding names neither
        assert before[at].tobytes() == after[at].tobytes()
    assert before[2].tobytes() != after[2].tobytes()
    model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    assert model.task("rerank").experts == ("search", "shared")
    assert list(model.experts) == ["shared", "embed", "kinds", "search"]
    svd = run(
        *("experts", "merge", "rerank", "read", "--into", "search", "--method", "svd"),
        *("--rank", 3, "--weight", 0.5, "--weight", 0.5),
        *("--checkpoint", grown[0], "--output", tmp_path / "svd"),
    )
    assert svd.exit_code == 0, svd.output
    assert 0.1 < float(svd.stdout.split("weights: ")[1]) < 1


@pytest.mark.slow
def test_what_cannot_be_done(run: Command, checkpoint, labelled, grown, tmp_path) -> None:
    one = tmp_path / "one.jsonl"
    write_lines(one, [{"text": f"text {n}", "label": "same"} for n in range(4)])
    empty = tmp_path / "odd.jsonl"
    write_lines(empty, [{"text": "a text"}])
    output = tmp_path / "new"
    for data, more, said in [
        (one, (), "expected at least two labels"),
        (empty, (), "label is None"),
        (tmp_path / "nowhere.jsonl", (), "nowhere.jsonl"),
        (labelled, ("--dev-share", 1.5), "expected a share between 0 and 1"),
        (labelled, ("--rate", 0), "expected numbers above 0"),
    ]:
        result = add(run, checkpoint, data, output, *more)
        assert result.exit_code == 1, said
        assert said in result.stderr.replace("\n", " ")
    taken = add(run, grown[0], labelled, output)
    assert taken.exit_code == 1
    assert "'kinds' exists already" in taken.stderr
    full = add(run, checkpoint, labelled, checkpoint)
    assert full.exit_code == 1
    assert "holds a checkpoint already" in full.stderr.replace("\n", " ")
    merged = run(
        *("experts", "merge", "read", "--into", "x"),
        *("--checkpoint", checkpoint, "--output", output),
    )
    assert merged.exit_code == 1
    assert "two or more" in merged.stderr
