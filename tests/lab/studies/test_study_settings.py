"""Studies as YAML: every one that comes with the package is whole, fair, and trains by design."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from unimoer_rag.errors import TrainingError
from unimoer_rag.lab.studies.analyses import ANALYSES
from unimoer_rag.lab.studies.settings import (
    Study,
    find_base,
    find_study,
    merged,
    study_names,
)
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.training.recipe import Recipe, skeleton_of


@pytest.mark.parametrize("name", study_names())
def test_every_study_makes_recipes(name: str) -> None:
    study = find_study(name)
    base = find_base(study.base)
    assert study.name == name
    assert set(study.analyses) <= set(ANALYSES)
    assert len(base.seeds) >= 3
    recipes = [study.recipe(base, variant, seed=7) for variant in study.variants]
    assert {recipe.seed for recipe in recipes} == {7}
    # Steps and data are the same of all.
    assert len({recipe.optimizer.steps for recipe in recipes}) == 1
    assert len({recipe.sources for recipe in recipes}) == 1


@pytest.mark.parametrize("name", study_names())
def test_variants_have_equal_parameters(name: str) -> None:
    study = find_study(name)
    base = find_base(study.base)
    if study.equal_parameters is None:
        pytest.skip("it compares sizes")
    sizes = Counter(
        _expert_parameters(study.recipe(base, variant, seed=0)) for variant in study.variants
    )
    assert max(sizes) <= min(sizes) * (1 + study.equal_parameters)


def _expert_parameters(recipe: Recipe) -> int:
    layers = skeleton_of(recipe).routed_layers().values()
    return sum(p.numel() for m in layers for d in (m.lora_A, m.lora_B) for p in d.values())


@pytest.mark.parametrize("name", study_names())
def test_every_rank_begins_with_the_same_output(name: str) -> None:
    study = find_study(name)
    base = find_base(study.base)
    for variant in study.variants:
        recipe = study.recipe(base, variant, seed=0)
        task = recipe.tasks[0]
        specs: list[ExpertSpec] = [recipe.experts[expert].spec() for expert in task.experts]
        shares = 1 if recipe.router in ("switch", "similarity") else len(specs)
        assert {spec.scale / shares for spec in specs} == {2.0}, variant


def test_laying_over() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert merged(base, {"a": {"c": [3]}}, {"e": 4}) == {"a": {"b": 1, "c": [3]}, "d": 3, "e": 4}
    assert merged(base, {"a": None}) == {"d": 3}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 3}


def test_a_mistake_is_named(tmp_path: Path) -> None:
    study = find_study("interference")
    wrong = study.model_copy(update={"changes": {"optimizer": {"steps": 0}}})
    with pytest.raises(TrainingError, match=r"'interference', variant 'joint-lora': optimizer"):
        wrong.recipe(find_base(study.base), "joint-lora", seed=0)
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: x\ntitle: x\nquestion: x\nvariants: {a: {}}\ncomparisons: [{first: a, second: b}]\n",
        encoding="utf-8",
    )
    with pytest.raises(TrainingError, match="the variant 'b', expected one of a"):
        find_study(str(file))
    with pytest.raises(TrainingError, match="no study 'none'"):
        find_study("none")


def test_studies_share_their_runs() -> None:
    base = find_base()
    shared = [("routers", "soft-sparsegen"),
              ("transfer", "joint-experts"), ("routing", "joint-experts"),
              ("representations", "joint-experts"), ("placement", "everywhere"),
              ("ranks", "rank-8"), ("scale", "large-joint-experts"),
              ("extension", "joint-experts")]  # fmt: skip
    recipes = [find_study(study).recipe(base, variant, seed=0) for study, variant in shared]
    assert len({recipe.model_dump_json() for recipe in recipes}) == 1
    joint = find_base("base-joint")
    first, second = (
        find_study(name).recipe(joint, "open-experts", seed=0)
        for name in ("interference", "balances")
    )
    assert first == second


def test_the_study_of_interference_is_as_it_was_named_beforehand() -> None:
    study = find_study("interference")
    base = find_base(study.base)
    assert len(base.seeds) == 8
    assert base.recipe["optimizer"]["steps"] >= 1000
    assert sum(each.questions for each in base.development.values()) >= 600
    assert {each.depth for each in base.development.values()} == {100}
    main = [(c.second, m) for c in study.comparisons if c.family == "main" for m in c.measures]
    arms = ("open-experts", "switch-shared")
    assert main == [(arm, task) for arm in arms for task in ("embed", "rerank")]
    for variant in study.variants:
        recipe = study.recipe(base, variant, seed=0)
        # What is measured of a set that is trained on was kept from training.
        for name, settings in base.development.items():
            assert name not in recipe.sources or settings.held_out or settings.split == "dev"
    opened = study.recipe(base, "open-experts", seed=0)
    assert {task.experts for task in opened.tasks} == {("first", "second", "third")}


def test_a_study_needs_its_variants() -> None:
    with pytest.raises(ValueError, match="variants"):
        Study(name="x", title="x", question="x", variants={})
