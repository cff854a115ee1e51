"""A task with experts of its own learns beside others what it learns alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training.toy import toy_recipe

from unimoer_rag.training.run import train

TASKS = ("embed", "rerank", "read")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_unshared_experts_equal_those_of_a_specialist(
    task: str, tiny_bert: Path, toy_data: Path, tmp_path: Path
) -> None:
    recipe = toy_recipe(tiny_bert)
    own: dict[str, Any] = {
        "router": "switch",
        "experts": {name: {"r": 2, "lora_alpha": 4} for name in TASKS},
        "tasks": [t | {"experts": [t["name"]]} for t in recipe.model_dump()["tasks"]],
        # All tasks share one gradient's norm: clipping would tie them together.
        "optimizer": recipe.optimizer.model_dump() | {"clip": 1e9, "weight_decay": 0.0},
        "routing": {},
    }
    every = recipe.model_dump(mode="json")["objectives"]
    learnt = {}
    for name, objectives in {"joint": every, "alone": {task: every[task]}}.items():
        assert train(
            toy_recipe(tiny_bert, **own, objectives=objectives),
            data=toy_data,
            output=tmp_path / name,
        )
        tensors = load_file(str(tmp_path / name / "checkpoint" / "adapter_model.safetensors"))
        learnt[name] = {
            key: value
            for key, value in tensors.items()
            if key.startswith((f"experts.{task}.", f"heads.{task}."))
        }
    assert learnt["joint"].keys() == learnt["alone"].keys() != set()
    assert any(".lora_B." in key and bool(t.any()) for key, t in learnt["alone"].items())
    for key, tensor in learnt["joint"].items():
        torch.testing.assert_close(tensor, learnt["alone"][key], rtol=2e-3, atol=2e-5, msg=key)
