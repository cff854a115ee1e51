"""Recipes: what is shipped fits together, what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from training.toy import toy_recipe

from unimoer_rag.errors import TrainingError
from unimoer_rag.training.recipe import Recipe, find_recipe

SHIPPED = Path(__file__).resolve().parents[2] / "training"


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_load(path: Path) -> None:
    recipe = find_recipe(str(path))
    used = {expert for task in recipe.tasks for expert in task.experts}
    assert used == set(recipe.experts)  # no expert that nothing trains
    assert {task.name for task in recipe.tasks} >= {"embed", "rerank", "read"}


def test_a_preset_is_found_by_name() -> None:
    assert find_recipe("minilm") == find_recipe(str(SHIPPED / "minilm.yaml"))
    assert find_recipe("minilm").name == "unimoer-minilm"


def test_a_recipe_survives_its_json(tiny_bert: Path) -> None:
    recipe = toy_recipe(tiny_bert)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_unknown_names_list_the_presets() -> None:
    with pytest.raises(TrainingError, match=r"no recipe 'minilmm'.*one of .*minilm"):
        find_recipe("minilmm")


def _remove(key: str) -> Any:
    return lambda recipe: recipe.pop(key)


def _set(*path: str, value: Any) -> Any:
    def change(recipe: dict[str, Any]) -> None:
        for key in path[:-1]:
            recipe = recipe[key]
        recipe[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_remove("optimizer"), "optimizer: Field required"),
        (_set("embeding", value={}), "embeding: Extra inputs"),
        (_set("optimizer", "steps", value=0), r"optimizer\.steps"),
        (_set("optimizer", "clip", value=float("nan")), r"optimizer\.clip"),
        (_set("reading", "unanswerable", value=1.5), r"reading\.unanswerable"),
        (_set("experts", "read", "r", value=0), r"experts\.read\.r"),
        (_set("optimizer", "learning_rate", value={"read": 1e-3}), "expected a default"),
        (_set("optimizer", "learning_rate", value={"default": 0.0}), "a rate above 0"),
        (_set("optimizer", "learning_rate", "raed", value=1e-3), "'raed'.*read"),
        (_set("optimizer", "learning_rate", "read", value=-1.0), r"learning_rate\.read"),
        (_set("experts", value={"shared": {"r": 1, "lora_alpha": 1}}), "embed may use 'embed'"),
        (lambda r: r["tasks"].pop(1), "ranking: trains the task 'rerank'.*embed, read"),
        (_set("reading", "sources", value=[]), r"reading\.sources"),
        (_set("mining", "sources", value=[]), r"mining\.sources"),
        (
            lambda r: [
                r["reading"].update(examples=0),
                r["ranking"].update(groups=0),
                r["embedding"].update(queries=0),
            ],
            "nothing to train",
        ),
    ],
)
def test_a_malformed_recipe_names_the_key(tmp_path: Path, change: Any, named: str) -> None:
    recipe = yaml.safe_load((SHIPPED / "minilm.yaml").read_text(encoding="utf-8"))
    change(recipe)
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with pytest.raises(TrainingError, match=named) as caught:
        find_recipe(str(path))
    assert str(path) in str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize("content", [b"a: [1,", b"\xff\xfe", b"", b"- 1\n- 2\n"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"broken\.yaml"):
        find_recipe(str(path))
