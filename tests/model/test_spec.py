"""What a model is beside its backbone, as one value."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from tiny_models import TEXTS, make_model

from unimoer_rag.errors import InputError
from unimoer_rag.model.io.config import CheckpointConfig
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.spec import DEFAULT_EXPERTS, ModelSpec
from unimoer_rag.model.tasks import DEFAULT_TASKS, EMBED, RERANK, Task
from unimoer_rag.model.unimoer import UniMoER

LAW = ExpertSpec(rank=4, alpha=8)
LEGAL = Task("legal", "vector", ("law", "shared"))
FULL = ModelSpec(
    experts={**DEFAULT_EXPERTS, "law": LAW},
    tasks=(*DEFAULT_TASKS, LEGAL),
    router="rank-wise",
    gate="softmax",
    router_options={"k": 3},
    targets=("query", "value"),
    query_instruction="Find: ",
)


def test_what_was_given_may_change_afterwards() -> None:
    experts: Any = dict(DEFAULT_EXPERTS)
    tasks: Any = [EMBED]
    spec = ModelSpec(experts=experts, tasks=tasks)
    experts["law"] = LAW
    tasks.append(RERANK)
    assert spec == ModelSpec(tasks=(EMBED,))
    with pytest.raises(FrozenInstanceError):
        spec.router = "token"  # type: ignore[misc]
    assert copy.deepcopy(spec) == spec


def test_it_grows_and_shrinks_without_changing_itself() -> None:
    grown = ModelSpec().with_expert("law", LAW).with_task(LEGAL)
    assert grown == ModelSpec(experts=FULL.experts, tasks=FULL.tasks)
    assert grown.ranks == (8, 8, 8, 8, 4)
    assert grown.without_task("legal").without_expert("law") == ModelSpec()
    quiet = grown.changed(EMBED.with_strength(0))
    assert quiet.tasks == (EMBED.with_strength(0), *grown.tasks[1:])
    assert ModelSpec() == ModelSpec(experts=DEFAULT_EXPERTS, tasks=DEFAULT_TASKS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelSpec(experts={"a b": LAW}, tasks=()), "'a b' cannot be the name of an exp"),
        (lambda: ModelSpec(tasks=(EMBED, EMBED)), "the task 'embed' exists already"),
        (lambda: ModelSpec(tasks=(LEGAL,)), "'legal' names the expert 'law', .*one of shared, emb"),
        (lambda: ModelSpec(tasks=(replace(EMBED, name="training"),)), "'training' cannot be the n"),
        (lambda: FULL.with_expert("law", LAW), "the expert 'law' exists already"),
        (lambda: FULL.with_task(LEGAL), "the task 'legal' exists already"),
        (lambda: FULL.without_expert("law"), "named by the task 'legal': remove"),
        (lambda: FULL.without_expert("lawn"), "no expert 'lawn': it has shared, embed"),
        (lambda: FULL.changed(replace(LEGAL, experts=("lawn",))), "names the expert 'lawn'"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], ModelSpec], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_checkpoint_writes_it_down_and_reads_it_back() -> None:
    written = CheckpointConfig.of(
        FULL, base_model_name_or_path="x", hidden_size=1, num_hidden_layers=1, weights_sha256=""
    )
    assert CheckpointConfig.model_validate_json(written.model_dump_json()).spec() == FULL


def test_a_model_is_made_of_one_or_of_its_fields(backbone_path) -> None:
    path = str(backbone_path("bert"))
    by_value = UniMoER.from_backbone(path, device="cpu", spec=FULL)
    by_field = UniMoER.from_backbone(
        path,
        device="cpu",
        experts=FULL.experts,
        tasks=list(FULL.tasks),
        router="rank-wise",
        gate="softmax",
        router_options={"k": 3},
        targets=["query", "value"],
        query_instruction="Find: ",
    )
    assert by_value.spec == by_field.spec == FULL
    assert by_value.checkpoint_digest == by_field.checkpoint_digest
    both = UniMoER.from_backbone(path, device="cpu", spec=FULL, router="token", router_options={})
    assert both.spec == replace(FULL, router="token", router_options={})
    with pytest.raises(TypeError, match="colour"):
        UniMoER.from_backbone(path, device="cpu", colour="red")


def test_a_known_backbones_instruction_gives_way_to_a_spec(backbone_path, monkeypatch) -> None:
    from unimoer_rag.model.io import building

    known = {
        "minilm": replace(building.BACKBONES["minilm"], dimension=32, query_instruction="Ask: ")
    }
    monkeypatch.setattr(building, "BACKBONES", known)
    monkeypatch.setattr(building, "resolve_backbone", lambda name: backbone_path("bert"))
    assert UniMoER.from_backbone("minilm", device="cpu").query_instruction == "Ask: "
    made = UniMoER.from_backbone("minilm", device="cpu", spec=ModelSpec())
    assert made.query_instruction == ""


def test_a_models_tasks_and_experts_are_there_to_read(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    before = model.embed(TEXTS)
    for held in (model.tasks, model.experts):
        with pytest.raises(TypeError, match="item assignment"):
            held["embed"] = None  # type: ignore[index]
    model.change_task(EMBED.with_strength(0))
    assert model.task("embed") == model.tasks["embed"] == EMBED.with_strength(0)
    assert list(model.tasks) == [task.name for task in DEFAULT_TASKS]
    assert not np.array_equal(model.embed(TEXTS), before)
    model.change_task(EMBED)
    np.testing.assert_array_equal(model.embed(TEXTS), before)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task("law", "vector", ()), "no task 'law': it has embed, rerank"),
        (Task("read", "cross", ("read",)), "'read' has the head 'span' here, which has learnt"),
        (Task("read", "span", ("law",)), "names the expert 'law', which does not exist"),
        (Task("read", "span", ("read",), document_first=True), "serves decoders alone"),
    ],
)
def test_a_task_changes_in_its_settings_alone(backbone_path, task: Task, message: str) -> None:
    model = make_model(backbone_path("bert"))
    with pytest.raises(InputError, match=message):
        model.change_task(task)
    assert model.spec.tasks == DEFAULT_TASKS


def test_what_cannot_be_added_changes_nothing(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    before = model.spec
    with pytest.raises(InputError, match="no routed linear layer"):
        model.add_expert("law", replace(LAW, targets=("nowhere",)))
    with pytest.raises(InputError, match="serves decoders alone"):
        model.add_task(Task("turned", "span", ("read",), document_first=True))
    assert model.spec is before
    assert model.router.n_experts == len(before.experts)
    assert "turned" not in model.heads


class Own(UniMoER):
    """A class of somebody's own."""


def test_a_derived_class_gives_instances_of_its_own(backbone_path, tmp_path) -> None:
    folder = make_model(backbone_path("bert")).save_pretrained(tmp_path / "checkpoint")
    for name in (folder, backbone_path("bert")):
        base, own = (kind.from_pretrained(name, device="cpu") for kind in (UniMoER, Own))
        assert type(base) is UniMoER
        assert type(own) is Own
        assert Own.from_pretrained(name, device="cpu") is own
        assert UniMoER.from_pretrained(name, device="cpu") is base
    assert type(Own.from_backbone(str(backbone_path("bert")), device="cpu")) is Own
