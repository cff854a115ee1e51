"""Tracking: what TensorBoard and Weights & Biases are told."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from training.toy import toy_objectives, toy_recipe

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import MissingExtraError
from unimoer_rag.training.loop.tracking import Track, flatten
from unimoer_rag.training.loop.trainer import Trainer
from unimoer_rag.training.run import make_model


def run(
    backbone: Path, toy: BeirDataset, folder: Path, track: Track, *, until: int = 3
) -> list[dict[str, Any]]:
    """Train a few steps, and give the log."""
    recipe = toy_recipe(
        backbone, optimizer={"steps": 3, "learning_rate": {"default": 1e-2}, "token_budget": 256}
    )
    model = make_model(recipe)
    objectives = toy_objectives(recipe, model, toy, folder / "mined")
    trainer = Trainer(model, recipe, folder, track=track)

    class CrashError(Exception): ...

    def crash(report: dict[str, Any]) -> None:
        if report["step"] == until < 3:
            raise CrashError

    with contextlib.suppress(CrashError):
        trainer.run(objectives, on_step=crash)
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_tensorboard_gets_every_number_of_every_step(
    tiny_bert: Path, toy: BeirDataset, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tiny_bert, toy, tmp_path, "tensorboard", until=2)  # a crash, before anything was saved
    log = run(tiny_bert, toy, tmp_path, "tensorboard")
    assert [line["step"] for line in log] == [1, 2, 3]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("loss", "losses/read/span", "rate", "norm", "routing/read/shared"):
        scalars = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(line["step"], flatten(line)[name]) for line in log]
        # What the crashed run told of steps that were done again is gone.
        assert [step for step, _ in scalars] == [1, 2, 3]
        assert [v for _, v in scalars] == pytest.approx([v for _, v in expected], rel=1e-5)
    assert [event.step for event in events.Scalars("losses/rerank/lce")] == [1, 3]


@pytest.mark.slow
def test_wandb_keeps_a_run_offline_and_goes_on_under_its_id(
    tiny_bert: Path, toy: BeirDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run(tiny_bert, toy, tmp_path, "wandb", until=2)
    run(tiny_bert, toy, tmp_path, "wandb")
    kept = json.loads((tmp_path / "wandb.json").read_text(encoding="utf-8"))["id"]
    files = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {file.name for file in files} == {f"run-{kept}.wandb"}
    told = b"".join(file.read_bytes() for file in files)
    for name in (b"losses/read/span", b"routing/read/shared", b"learning_rate"):
        assert name in told


def test_nested_numbers_get_paths() -> None:
    nested = {"loss": 1.0, "losses": {"a/x": 2.0}, "cosines": {"0": {"a|b": 0.5}}}
    assert flatten(nested) == {"loss": 1.0, "losses/a/x": 2.0, "cosines/0/a|b": 0.5}


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(
    kind: Track, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy_recipe(tiny_bert)
    model = make_model(recipe)
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingExtraError, match=rf"{kind}.*track"):
        Trainer(model, recipe, tmp_path, track=kind)
