"""`unimoer-rag export`: the door of `UniMoER.export` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from cli_helpers import Command
from model.tiny_models import TEXTS, make_model, save_backbone
from sentence_transformers import SentenceTransformer

from unimoer_rag.cli.export import Target
from unimoer_rag.model.io.export import targets
from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    model = make_model(save_backbone("bert", folder / "backbone"), router="task-explicit")
    return model.save_pretrained(folder / "checkpoint")


def test_the_targets_are_those_of_the_model() -> None:
    assert get_args(Target) == get_args(targets.Target)


@pytest.mark.slow
def test_a_checkpoint_becomes_a_folder(run: Command, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("export", out, "--to", "sentence-transformers", "--checkpoint", checkpoint)
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["folder"] == str(out)
    assert said["files"]["model.safetensors"] == (out / "model.safetensors").stat().st_size
    model = UniMoER.from_pretrained(checkpoint, device="cpu", dtype="float32")
    theirs = SentenceTransformer(str(out), device="cpu").encode(TEXTS)
    assert theirs == pytest.approx(model.embed(TEXTS), abs=1e-5)
    again = run(*words)
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_it_says_what_it_wrote(run: Command, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("export", out, "--to", "peft", "--expert", "read", "--checkpoint", checkpoint)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("done: 2 files (0.0 MB) in ")
    assert done.stdout.rstrip().endswith(str(out))


def test_a_refusal_is_one_line(run: Command, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("export", out, "--to", "multi-vector", "--checkpoint", checkpoint)
    assert done.exit_code == 1
    assert "error: the task 'rerank' scores by squared matches" in done.output
    assert "--plain-maxsim" in done.output
    assert not out.exists()
    assert run("export", out, "--to", "tei", "--checkpoint", checkpoint).exit_code == 2
