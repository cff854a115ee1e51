"""A recipe changed in places: what `--set` puts in, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training.toy import toy_recipe

from unimoer_rag.errors import InputError, TrainingError
from unimoer_rag.training.launch import Launch
from unimoer_rag.training.loop.folder import kept_recipe
from unimoer_rag.training.overrides import on_source, overridden
from unimoer_rag.training.own import judge, own_recipe
from unimoer_rag.training.recipe import find_recipe


def test_values_are_yaml_and_keys_reach_everywhere() -> None:
    changed = overridden(
        find_recipe("minilm"),
        [
            "optimizer.steps=7",
            "optimizer.learning_rate.shared=1e-3",
            "tasks.0.max_tokens=64",
            "experts.read={r: 4, lora_alpha: 8}",
            "start=null",
            "objectives.rerank.losses=[{kind: lce}]",
            "description=a=b",
        ],
    )
    assert changed.optimizer.steps == 7
    assert changed.optimizer.learning_rate["shared"] == 1e-3
    assert changed.tasks[0].max_tokens == 64
    assert changed.experts["read"].r == 4
    assert changed.objectives["rerank"].losses[0].kind == "lce"  # type: ignore[union-attr]
    assert changed.description == "a=b"


def test_nothing_set_changes_nothing() -> None:
    recipe = find_recipe("minilm")
    assert overridden(recipe, []) == recipe


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("optimizer.steps", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("optimizer.steps=[", "no YAML value"),
        ("seed=2026-13-45", "no YAML value"),  # a date with a 13th month
        pytest.param(f"optimizer.steps={'[' * 3000}", "no YAML value", id="deep"),
        (f"seed={2**70}", "seed: Input should be less than"),
        ("optimizer.steps.more=3", "optimizer.steps is 2600"),
        ("tasks.first.head=late", "there is no 'first' here, expected one of 0, 1, 2"),
        ("optimizer.clip=.nan", "optimizer.clip"),
        ("experts.shared.r=0", "experts.shared.r"),
        ("tasks.0.experts=[none]", "embed may use 'none'"),
    ],
)
def test_what_cannot_be_set_names_the_key(setting: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        overridden(find_recipe("minilm"), [setting])
    assert str(caught.value).startswith("--set ")
    assert named in str(caught.value)


def test_a_recipe_turned_to_own_data() -> None:
    recipe = find_recipe("minilm")
    turned = on_source(recipe, "own")
    assert turned.sources == ("own",)
    assert own_recipe(turned, answers=True) == turned  # as a resumed run turns it again
    silent = own_recipe(recipe, answers=False)
    assert list(silent.objectives) == ["embed", "rerank"]
    reads = recipe.model_copy(update={"objectives": {"read": recipe.objectives["read"]}})
    with pytest.raises(TrainingError, match="no objective that these questions teach"):
        own_recipe(reads, answers=False)


@pytest.mark.parametrize(
    ("intervals", "judged"),
    [
        ([(0.01, 0.2), (-0.1, 0.1)], "better"),
        ([(-0.2, -0.01), (0.0, 0.1)], "worse"),
        ([(-0.2, -0.01), (0.1, 0.2)], "mixed"),
        ([(-0.2, 0.0), (0.0, 0.2)], "undecided"),
    ],
)
def test_the_judgement_follows_the_intervals(
    intervals: list[tuple[float, float]], judged: str
) -> None:
    differences: dict[str, dict[str, Any]] = {
        str(at): {"low": low, "high": high} for at, (low, high) in enumerate(intervals)
    }
    assert judge(differences) == judged


def test_a_folder_keeps_how_it_was_started(tiny_bert: Path, tmp_path: Path) -> None:
    recipe, launch = toy_recipe(tiny_bert), Launch(data=tmp_path, track="wandb")
    with pytest.raises(TrainingError, match="holds no run"):
        Launch.read(tmp_path)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"run\.json"):
        Launch.read(tmp_path)
    launch.write(tmp_path)
    assert Launch.read(tmp_path) == launch
    assert kept_recipe(tmp_path) == recipe
