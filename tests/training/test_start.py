"""Training that begins from a checkpoint."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from training.toy import save_backbone, toy_recipe

from unimoer_rag.data import Sources
from unimoer_rag.errors import CheckpointError, TrainingError
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import check_start, make_model, make_objectives, start_tensors, train


@pytest.fixture(scope="module")
def learnt(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose tensors all differ from those of an untrained model."""
    model = make_model(toy_recipe(tiny_bert))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in parameters_by_name(model).values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator).half())
    return model.save_pretrained(tmp_path_factory.mktemp("learnt"))


def _silent(backbone: Path, start: Path, **changes: object) -> Recipe:
    """A recipe of one step so small that nothing moves measurably."""
    rate = {"steps": 1, "learning_rate": {"default": 1e-12}, "token_budget": 256}
    return toy_recipe(backbone, start=str(start), optimizer=rate, **changes)


@pytest.mark.slow
def test_a_run_begins_with_what_the_checkpoint_learnt(
    tiny_bert: Path, learnt: Path, toy_data: Path, tmp_path: Path
) -> None:
    recipe = _silent(tiny_bert, learnt)
    assert train(recipe, data=toy_data, output=tmp_path / "run")
    expected = start_tensors(make_model(recipe), str(learnt))
    found = start_tensors(make_model(recipe), str(tmp_path / "run" / "checkpoint"))
    assert expected.keys() == found.keys() == parameters_by_name(make_model(recipe)).keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-3, rtol=1e-3, msg=name)


def test_what_the_checkpoint_lacks_starts_new(tiny_bert: Path, learnt: Path) -> None:
    experts = {e: {"r": 2, "lora_alpha": 4} for e in ("shared", "mine")}
    tasks = [
        {"name": "embed", "head": "vector", "experts": ["mine"], "max_tokens": 24},
        {"name": "rerank", "head": "late", "experts": ["mine"], "max_tokens": 24},
        {"name": "read", "head": "span", "experts": ["shared"], "max_tokens": 96},
    ]
    model = make_model(toy_recipe(tiny_bert, experts=experts, tasks=tasks, router="task-explicit"))
    taken = start_tensors(model, str(learnt))
    assert any(name.startswith("experts.shared.") for name in taken)
    assert any(name.startswith("heads.read.") for name in taken)
    assert not any(name.startswith("experts.mine.") for name in taken)


@pytest.mark.slow
def test_a_resumed_run_needs_its_start_no_more(
    tiny_bert: Path, learnt: Path, toy_data: Path, tmp_path: Path
) -> None:
    start = shutil.copytree(learnt, tmp_path / "start")
    recipe = _silent(tiny_bert, start)
    assert train(recipe, data=toy_data, output=tmp_path / "run")
    shutil.rmtree(start)
    assert train(recipe, data=toy_data, output=tmp_path / "run")


@pytest.mark.slow
def test_what_does_not_fit_is_refused_before_anything_is_mined(
    tiny_bert: Path, learnt: Path, toy_data: Path, tmp_path: Path
) -> None:
    wider = {e: {"r": 3, "lora_alpha": 4} for e in ("shared", "embed", "rerank", "read")}
    with pytest.raises(TrainingError, match=r"lora_A.weight has the shape .* give the expert"):
        train(_silent(tiny_bert, learnt, experts=wider), data=toy_data, output=tmp_path / "a")
    louder = {e: {"r": 2, "lora_alpha": 8} for e in ("shared", "embed", "rerank", "read")}
    with pytest.raises(TrainingError, match=r"has lora_alpha 4 in .*, the recipe says 8"):
        train(_silent(tiny_bert, learnt, experts=louder), data=toy_data, output=tmp_path / "d")
    with pytest.raises(TrainingError, match="start from a checkpoint of the same backbone"):
        train(_silent(tiny_bert, Path("minilm")), data=toy_data, output=tmp_path / "b")
    with pytest.raises(CheckpointError, match="nowhere"):
        train(_silent(tiny_bert, tmp_path / "nowhere"), data=toy_data, output=tmp_path / "c")
    assert not list(tmp_path.glob("*/mined/*"))


@pytest.mark.slow
def test_both_ends_of_a_run_can_be_averaged(tiny_bert: Path, learnt: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(tiny_bert)
    fresh = make_model(recipe).save_pretrained(tmp_path / "fresh")
    script = Path(__file__).parents[2] / "scripts" / "average_checkpoints.py"
    average = runpy.run_path(str(script))["main"]
    average(str(fresh), str(learnt), 0.75, "read", "read", tmp_path / "out")
    start, end, out = (
        start_tensors(make_model(recipe), str(path)) for path in (fresh, learnt, tmp_path / "out")
    )
    for name, tensor in out.items():
        mixed = name.startswith(("experts.read.", "heads.read."))
        expected = 0.25 * start[name] + 0.75 * end[name] if mixed else end[name]
        torch.testing.assert_close(tensor, expected, atol=2e-3, rtol=2e-3, msg=name)


def test_what_a_model_does_not_do_is_refused_before_anything_is_mined(
    tiny_bert: Path, toy_data: Path, tmp_path: Path
) -> None:
    embed = {"kind": "contrastive", "task": "embed", "sources": ["toy"], "size": 2}
    recipe = toy_recipe(tiny_bert, objectives={"embed": {**embed, "dimensions": {4096: 1.0}}})
    with pytest.raises(TrainingError, match=r"objectives\.embed\.dimensions: 4096 is more than"):
        train(recipe, data=toy_data, output=tmp_path / "run")
    assert not list((tmp_path / "run").glob("mined/*"))


@pytest.mark.slow
def test_a_teacher_scores_what_is_not_mined_too(
    tiny_bert: Path, learnt: Path, tmp_path: Path
) -> None:
    rows = [
        {"query": f"When does the {x} open", "pos": f"The {x} opens at four", "neg": f"{x}s close"}
        for x in ("library", "team", "report")
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "clicks.jsonl").write_text(text, encoding="utf-8")
    rank = {"kind": "ranking", "task": "rerank", "sources": ["clicks"], "size": 2}
    recipe = toy_recipe(
        tiny_bert,
        data={"clicks": {"format": "triples", "path": "clicks.jsonl"}},
        mining={"teacher": str(learnt)},
        objectives={"rerank": {**rank, "losses": [{"kind": "kl"}]}},
    )
    model = make_model(recipe)
    material = Material(
        recipe.mining, model, Sources(tmp_path, recipe.data), cache=tmp_path / "cache"
    )
    (objective,) = make_objectives(recipe, model, material)
    assert len(objective.draw(0).rows) == 2 * (1 + 1 + 1)
    teacher = UniMoER.from_pretrained(learnt)
    source = material.groups(("clicks",))["clicks"]
    for group in source.groups:
        texts = [source.texts[place] for place in (group.positive, *group.negatives)]
        expected = teacher.score(group.query, texts, task="rerank", logits=True)
        assert list(group.scores) == pytest.approx(expected.tolist())


def test_a_start_on_another_backbone_is_refused_before_anything_is_begun(
    learnt: Path, tmp_path: Path
) -> None:
    recipe = _silent(save_backbone("bert", tmp_path / "other"), learnt)
    output = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"is on the backbone .*--set start=null"):
        train(recipe, data=tmp_path, output=output)
    assert not output.exists()
    named = recipe.model_copy(update={"start": "unimoer-minilm"})
    with pytest.raises(TrainingError, match="unimoer-minilm is on the backbone minilm, the recipe"):
        check_start(named)
    check_start(recipe.model_copy(update={"start": None}))
    check_start(recipe.model_copy(update={"start": "minilm"}))  # a backbone's own check is later
    check_start(recipe.model_copy(update={"start": "./nowhere"}))  # a resumed run's may be gone
