"""Schedules of a recipe in a real run: what they promise, and that it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training.toy import toy_objectives, toy_recipe

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.model.io.checkpoint import layer_of
from unimoer_rag.training.loop.schedules import make_schedules
from unimoer_rag.training.loop.trainer import Trainer
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model, train

UNFREEZING = {"first": 1, "every": 2}


def recipe(backbone: Path, **changes: object) -> Recipe:
    return toy_recipe(backbone, **{"unfreezing": UNFREEZING, **changes})


def state(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "state.safetensors")


@pytest.fixture(scope="module")
def trained(tiny_bert: Path, toy_data: Path, tmp_path_factory) -> Path:
    """A run of six steps that unfreezes."""
    folder = tmp_path_factory.mktemp("scheduled") / "run"
    assert train(recipe(tiny_bert), data=toy_data, output=folder)
    return folder


def test_a_recipe_names_its_schedules(tiny_bert: Path) -> None:
    model = make_model(toy_recipe(tiny_bert))
    assert make_schedules(model, toy_recipe(tiny_bert)) == []
    assert len(make_schedules(model, recipe(tiny_bert))) == 1


def test_lower_layers_learn_later(trained: Path) -> None:
    counts = {
        layer_of(name.removeprefix("step/")): int(tensor)
        for name, tensor in state(trained).items()
        if name.startswith("step/experts.read.") and ".lora_B." in name
    }
    assert counts == {2: 6, 1: 4, 0: 2}  # the reader draws at every one of the six steps
    assert int(state(trained)["step/heads.read.out.weight"]) == 6


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny_bert: Path, toy_data: Path, trained: Path, tmp_path: Path
) -> None:
    class _StopError(Exception):
        pass

    def stop(report: dict[str, object]) -> None:
        if report["step"] == 5:  # one step behind the last save
            raise _StopError

    folder = tmp_path / "run"
    with pytest.raises(_StopError):
        train(recipe(tiny_bert), data=toy_data, output=folder, on_step=stop)
    assert train(recipe(tiny_bert), data=toy_data, output=folder)
    once, twice = state(trained), state(folder)
    assert once.keys() == twice.keys()
    for name, tensor in once.items():
        assert torch.equal(tensor, twice[name]), name
    logs = [
        [json.loads(line)["losses"] for line in (run / "log.jsonl").read_text().splitlines()]
        for run in (trained, folder)
    ]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_the_norm_is_of_what_learns(tiny_bert: Path, toy: BeirDataset, tmp_path: Path) -> None:
    def norm(name: str, **changes: object) -> float:
        recipe = toy_recipe(tiny_bert, **changes)
        model = make_model(recipe)
        schedules = make_schedules(model, recipe)
        trainer = Trainer(model, recipe, tmp_path / name, schedules=schedules)
        report = trainer.train_step(toy_objectives(recipe, model, toy, tmp_path / "cache"))
        return float(report["norm"])

    assert norm("top", unfreezing={"first": 1, "every": 100}) < norm("all")
