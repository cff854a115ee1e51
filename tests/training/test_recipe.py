"""Recipes: what is shipped fits together, what does not fit is named."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from model.tiny_models import save_backbone
from repository import ROOT, script
from training.toy import toy_recipe

from unimoer_rag.cli.train.look import duration
from unimoer_rag.cli.train.run import COMMANDS
from unimoer_rag.cost import estimate
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import TrainingError
from unimoer_rag.model.io.backbone import BACKBONES
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.recipe import Recipe, find_recipe
from unimoer_rag.training.run import train

SHIPPED = ROOT / "training"
PRESETS = sorted(SHIPPED.glob("*.yaml"))

# The tiny backbone of each recipe's architecture.
KINDS = {
    "minilm": "bert",
    "qwen3-0.6b-base": "qwen3",
    "qwen3-4b-base": "qwen3",
    "mistral-7b-v0.3": "mistral",
}


def head(path: Path) -> str:
    """The comment that a file opens with, in one line."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text("utf-8").splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_shipped_recipes_load_and_say_what_they_are(path: Path) -> None:
    recipe = find_recipe(path.stem)
    used = {expert for task in recipe.tasks for expert in task.experts}
    assert used == set(recipe.experts)  # no expert that nothing trains
    # Domains leave reading alone; a cross-encoder reranks under other names, beside what ships.
    domain = {"-domain": {"rerank"}, "-domain-queries": {"rerank"}}
    more = {**domain, "-cross": {"alone", "correction"}}
    tasks = more.get(path.stem.removeprefix("minilm"), {"rerank", "read"})
    assert {task.name for task in recipe.tasks} >= {"embed"} | tasks
    assert path.stem not in COMMANDS
    assert recipe.description
    assert head(path).startswith((f"{path.stem}: ", f"{recipe.name}: "))
    assert f"unimoer-rag train {path.stem.removesuffix('-own')} " in head(path)
    known = BACKBONES[recipe.backbone]
    assert recipe.query_instruction == known.query_instruction
    assert all(task.max_tokens <= max(known.max_tokens, 512) for task in recipe.tasks)


@pytest.mark.slow
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_shipped_recipes_cost_what_they_say(path: Path) -> None:
    said = head(path)
    if "not measured" not in said:
        assert "Cost: about" in said  # measured
        return
    found = estimate(find_recipe(path.stem))
    names = ["laptop CPU"] if "laptop" in said else ["H200", "A100-80GB"]
    times = [f"{duration(found.seconds[name])} on one {name}" for name in names]
    memory = f"{found.memory[names[0]].total / 1e9:.0f} GB"
    assert f"not measured): {memory}; {', '.join(times)} Run:" in said


@pytest.mark.slow
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_shipped_recipes_take_a_real_step(
    path: Path, toy: BeirDataset, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shipped = find_recipe(path.stem)
    backbone = save_backbone(KINDS[shipped.backbone], tmp_path_factory.mktemp("tiny"))
    recipe = shipped.model_copy(
        update={
            "backbone": str(backbone),
            "start": None,
            "optimizer": shipped.optimizer.model_copy(update={"steps": 1, "token_budget": 1024}),
        }
    )
    sets = dict.fromkeys(recipe.sources, toy)
    reports: list[dict[str, Any]] = []
    assert train(recipe, sets=sets, output=tmp_path / "run", on_step=reports.append)
    named = {name.partition("/")[0] for name in reports[0]["losses"]}
    assert named == {*shipped.objectives, "routing"}
    assert reports[0]["norm"] > 0
    trained = UniMoER.from_pretrained(str(tmp_path / "run" / "checkpoint"))
    assert set(trained.tasks) == {task.name for task in shipped.tasks}


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


def _set(*path: str | int, value: Any) -> Any:
    def change(recipe: Any) -> None:
        for key in path[:-1]:
            recipe = recipe[key]
        recipe[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_remove("optimizer"), "optimizer: missing: add it"),
        (_set("embeding", value={}), "embeding: unknown key, expected one of name, "),
        (_set("optimizer", "steps", value=0), r"optimizer\.steps"),
        (_set("optimizer", "clip", value=float("nan")), r"optimizer\.clip"),
        (
            _set("objectives", "read", "unanswerable", value=1.5),
            r"changed\.yaml:\d+: objectives\.read\.unanswerable",
        ),
        (_set("experts", "read", "r", value=0), r"experts\.read\.r"),
        (_set("optimizer", "learning_rate", value={"read": 1e-3}), "expected a default"),
        (_set("optimizer", "learning_rate", value={"default": 0.0}), "a rate above 0"),
        (_set("optimizer", "learning_rate", "raed", value=1e-3), "'raed'.*read"),
        (_set("optimizer", "learning_rate", "read", value=-1.0), r"learning_rate\.read"),
        (_set("experts", value={"shared": {"r": 1, "lora_alpha": 1}}), "embed may use 'embed'"),
        (lambda r: r["tasks"].pop(1), "objectives.rerank: trains the task 'rerank'.*embed, read"),
        (
            _set("tasks", 1, "coverage", value=[0.6, 0.3]),
            r"tasks\.1: task 'rerank' .*coverage \(0\.6, 0\.3\): expected two cosines",
        ),
        (_set("objectives", "read", "task", value="embed"), "head 'vector', expected span"),
        (_set("objectives", "read", "sources", value=[]), "sources"),
        (_set("objectives", "read", "proportions", value={"nq": 1}), "proportions: for 'nq'"),
        (
            _set("objectives", "embed", "dimensions", value={0: 1.0}),
            "dimensions: 0, expected sizes from 1",
        ),
        (
            lambda r: r["objectives"]["embed"].update(
                dimensions={64: 1.0}, losses=[{"kind": "anchor"}]
            ),
            "dimensions: act on the loss info-nce",
        ),
        (
            lambda r: r["objectives"]["read"].update(
                proportions=dict.fromkeys(r["objectives"]["read"]["sources"], 1.0),
                sampling_temperature=2.0,
            ),
            "sampling_temperature: acts on sizes",
        ),
        (
            lambda r: r["objectives"].update({"a/b": r["objectives"]["read"]}),
            "objectives.a/b: .* take out /",
        ),
        (
            lambda r: r["experts"].update(router={"r": 1, "lora_alpha": 1}),
            "experts.router: .* rename it",
        ),
        (
            lambda r: next(t for t in r["tasks"] if t["name"] == "rerank").update(
                head="cross", feedback=0, coverage=[0, 0]
            ),
            "untrained cross head scores every passage alike",
        ),
        (
            _set("objectives", "embed", "losses", value=[{"kind": "late-nce"}]),
            "'late-nce' compares token states, and the head of the task 'embed' is vector, "
            "expected late",
        ),
        (_set("objectives", value={}), "objectives"),
        (_set("objectives", "rerank", "losses", value=[{"kind": "lse"}]), "losses"),
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


def test_the_page_of_keys_is_that_of_the_schema() -> None:
    page = (ROOT / "docs" / "recipe-keys.md").read_text(encoding="utf-8")
    written = script("generate_recipe_docs").render()
    assert page == written, "run: python scripts/generate_recipe_docs.py"
