"""Several processes train what one alone would have: replicated, sharded, stopped and resumed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training.process_runs import finish, launch, run_one
from training.toy import toy_recipe

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.loop.trainer import Trainer
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model


def recipe(backbone: Path, *, accumulate: int, **changes: Any) -> Recipe:
    optimizer = {
        "steps": 6,
        "learning_rate": {"default": 1e-2},
        "token_budget": 256,
        "accumulate": accumulate,
        **changes.pop("optimizer", {}),
    }
    return toy_recipe(backbone, optimizer=optimizer, validate_every=4, **changes)


def log(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def seen(folder: Path, rank: int) -> list[str]:
    return (folder.parent / f"{folder.name}-seen-{rank}").read_text(encoding="utf-8").splitlines()


# Second moment of a gradient that was never above 1e-8 in six steps, a rounding of its sums.
_NOISE = 6 * 0.001 * (1e-8) ** 2


def same(left: Path, right: Path, *, validated: bool = True) -> None:
    """Two folders hold one run, up to rounding."""
    ours, theirs = (load_file(str(f / "state.safetensors")) for f in (left, right))
    assert ours.keys() == theirs.keys()
    n_apart = 0
    for name, tensor in ours.items():
        close = torch.isclose(tensor, theirs[name], rtol=1e-4, atol=5e-5)
        if name.startswith("parameter/"):
            # Adam divides a gradient by its own size: of one that is nothing but rounding, such as
            # a gate's towards a unit that no row lights, it makes a step of up to the rate.
            own = name.removeprefix("parameter/")
            most = torch.maximum(*(s[f"exp_avg_sq/{own}"] for s in (ours, theirs)))
            noise = (most > 0) & (most < _NOISE) & ((tensor - theirs[name]).abs() <= 6 * 1e-2)
            n_apart += int((noise & ~close).sum())
            close |= noise
        assert bool(close.all()), name
    n_learnt = sum(t.numel() for name, t in ours.items() if name.startswith("parameter/"))
    assert n_apart < 0.01 * n_learnt
    for a, b in zip(log(left), log(right), strict=True):
        if not validated:
            a, b = ({k: v for k, v in x.items() if k != "validation"} for x in (a, b))
        assert a.keys() == b.keys()
        assert flat(a) == pytest.approx(flat(b), abs=1e-4)


def flat(value: Any, at: str = "") -> dict[str, float]:
    if not isinstance(value, dict):
        return {at: value}
    return {k: v for key, part in value.items() for k, v in flat(part, f"{at}/{key}").items()}


@pytest.fixture(scope="module")
def alone(tiny_bert: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one process that accumulates two draws."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run_one(recipe(tiny_bert, accumulate=2), toy_data / "toy", folder)
    return folder


EVERYTHING: dict[str, Any] = {
    "optimizer": {"conflicts": "pcgrad", "grad_cache": True, "cosines_every": 2},
    "unfreezing": {"first": 2, "every": 2},
    "gradient_checkpointing": True,
}


@pytest.mark.slow
def test_two_processes_train_bit_for_bit_what_one_accumulates(
    alone: Path, tiny_bert: Path, toy_data: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both"
    assert finish(launch(recipe(tiny_bert, accumulate=1), toy_data / "toy", both)) == [0, 0]
    assert log(both) == log(alone)
    ours, theirs = (load_file(str(f / "state.safetensors")) for f in (both, alone))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert seen(both, 0) == seen(alone, 0)
    assert seen(both, 1) == ["Parameter from 0", "finished"]  # the first one logs and validates


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["replicated", "sharded"])
def test_every_option_works_in_two_processes(
    sharded: bool, tiny_bert: Path, toy_data: Path, tmp_path: Path
) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    run_one(recipe(tiny_bert, accumulate=2, **EVERYTHING), toy_data / "toy", alone)
    together = recipe(tiny_bert, accumulate=1, **EVERYTHING)
    assert finish(launch(together, toy_data / "toy", both, sharded=sharded)) == [0, 0]
    # No process can run a sharded backbone alone, so that it is not validated as it trains.
    same(alone, both, validated=not sharded)
    kind = "DTensor from 0" if sharded else "Parameter from 0"
    steps = [line for line in seen(alone, 0) if not (sharded and line.startswith("validate"))]
    assert seen(both, 0) == [kind, *steps[1:]]
    assert seen(both, 1) == [kind, "finished"]
    UniMoER.from_pretrained(both / "checkpoint", device="cpu")  # whole, whoever held which part


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_are_stopped_and_go_on(
    number: signal.Signals, alone: Path, tiny_bert: Path, toy_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    asked = recipe(tiny_bert, accumulate=1)
    started = launch(asked, toy_data / "toy", folder, slow=True)
    first = tmp_path / "run-seen-0"
    until = time.monotonic() + 60
    while not (first.is_file() and "step 3" in first.read_text(encoding="utf-8")):
        assert time.monotonic() < until
        time.sleep(0.01)
    if number == signal.SIGTERM:  # told to one of them, it ends them all, saved
        os.kill(started[1].pid or 0, number)
        assert finish(started) == [0, 0]
        assert [seen(folder, rank)[-1] for rank in range(2)] == ["stopped", "stopped"]
        done = len(log(folder))
        assert 3 <= done < 6
        assert (folder / "checkpoint").is_dir()
    else:
        for process in started:
            process.kill()
        finish(started)
        done = 2
        assert not (folder / "checkpoint").exists()
    assert Trainer(make_model(asked), asked, folder).step == done

    assert finish(launch(asked, toy_data / "toy", folder)) == [0, 0]
    assert f"Parameter from {done}" in seen(folder, 1)
    same(folder, alone)
