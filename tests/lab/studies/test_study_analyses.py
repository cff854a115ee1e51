"""What is looked for inside checkpoints: against models whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model.tiny_models import TEXTS, make_model

from unimoer_rag.data.datasets import load_beir
from unimoer_rag.lab.studies.analyses.cosines import cosines
from unimoer_rag.lab.studies.analyses.hidden import layer_states
from unimoer_rag.lab.studies.analyses.pictures import pictures
from unimoer_rag.lab.studies.analyses.routing import routing, text_weights
from unimoer_rag.lab.studies.analyses.similarity import similarity
from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.analyses.updates import spectra, subspaces
from unimoer_rag.lab.studies.measuring import Development
from unimoer_rag.lab.studies.panels import Findings, Panel
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

TASKS = (Task("embed", "vector", ("embed", "shared")), Task("rerank", "late", ("rerank", "shared")))
EXPERTS = {name: ExpertSpec(rank=3, alpha=6) for name in ("shared", "embed", "rerank")}


class _Run:
    """As much of a run as an analysis reads beside the model."""

    def __init__(self, log: list[dict[str, object]]) -> None:
        self.log = log


@pytest.fixture
def subject(tiny_bert: Path, toy_data: Path) -> Subject:
    model = make_model(tiny_bert, experts=EXPERTS, tasks=TASKS)
    return _subject(model, toy_data)


def _subject(model: UniMoER, data: Path, log: list[dict[str, object]] | None = None) -> Subject:
    development = Development(load_beir(data / "toy", "train"), {}, closed=False)
    subject = Subject(_Run(log or []), lambda: [development])  # type: ignore[arg-type]
    subject.__dict__["model"] = model
    return subject


def _panel(found: Findings, title: str) -> Panel:
    return next(panel for panel in found.panels if panel.title == title)


def test_pooled_states_are_the_backbones_own(subject: Subject) -> None:
    model = subject.model
    frozen = model.task("embed").with_strength(0.0)
    rows = model.rows.single(TEXTS, frozen)
    found = layer_states(model, rows)
    for at, text in enumerate(TEXTS):  # one at a time, without padding
        ids = model.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = model.backbone(**ids, output_hidden_states=True).hidden_states[1:]
        for layer, state in enumerate(states):
            assert found[layer][at] == pytest.approx(state[0].mean(0).numpy(), abs=1e-5)


def test_weights_are_those_of_the_forward(subject: Subject) -> None:
    model, task = subject.model, subject.model.task("rerank")
    rows = model.rows.single(TEXTS, task, "document")
    found = text_weights(model, rows, task)
    assert found.shape == (len(TEXTS), 3, 2)
    assert found.sum(-1) == pytest.approx(1.0, abs=1e-5)  # means of float32, in any order of sums
    with torch.no_grad():
        states = model(model.collate([rows[1]]))
    alone = [states.weights[layer][0, 0, states.experts.index("rerank")] for layer in range(3)]
    assert found[1, :, 0] == pytest.approx([float(w) for w in alone], abs=1e-5)


def test_an_even_router_has_the_largest_entropy(tiny_bert: Path, toy_data: Path) -> None:
    untrained = make_model(tiny_bert, trained=False, experts=EXPERTS, tasks=TASKS)
    log = [{"step": n, "routing": {"embed": {"shared": 0.25, "embed": 0.75}}} for n in range(1, 60)]
    found = routing(_subject(untrained, toy_data, log))
    for points in _panel(found, "Entropy of the routing").series.values():
        assert [value for _, value in points] == pytest.approx([1.0] * 3)
    assert found.numbers["load of shared"] == pytest.approx(0.5)
    assert found.numbers["embed: weights that are exactly 0"] == 0.0
    lines = _panel(found, "Weights through training").series
    assert [value for _, value in lines["embed: embed"]] == pytest.approx([0.75] * 25)
    assert lines["embed: embed"][-1][0] == 59


def test_an_only_expert_leaves_nothing_to_choose(tiny_bert: Path, toy_data: Path) -> None:
    tasks = (Task("embed", "vector", ("shared",)), Task("rerank", "late", ("shared",)))
    model = make_model(tiny_bert, experts={"shared": ExpertSpec(3, 6)}, tasks=tasks)
    found = routing(_subject(model, toy_data))
    assert found.numbers["load of shared"] == pytest.approx(1.0)
    for points in _panel(found, "Entropy of the routing").series.values():
        assert {value for _, value in points} == {0.0}
    # Both tasks are the same function of a text.
    likeness = _panel(similarity(_subject(model, toy_data)), "Likeness of tasks (CKA)").series
    assert [value for _, value in likeness["embed and rerank"]] == pytest.approx([1.0] * 3)
    assert likeness["frozen and embed"][-1][1] < 0.999


def test_untrained_experts_are_the_frozen_backbone(tiny_bert: Path, toy_data: Path) -> None:
    model = make_model(tiny_bert, trained=False, experts=EXPERTS, tasks=TASKS)
    for panel in similarity(_subject(model, toy_data)).panels:
        for points in panel.series.values():
            assert [value for _, value in points] == pytest.approx([1.0] * 3)
    found = spectra(_subject(model, toy_data))
    assert set(found.numbers.values()) == {0.0}


def test_spectra_are_those_of_whole_matrices(subject: Subject) -> None:
    found = spectra(subject)
    whole: list[np.ndarray] = []
    for routed in subject.model.routed_layers().values():
        update = 2.0 * routed.lora_B["embed"].detach() @ routed.lora_A["embed"].detach()
        whole.append(np.linalg.svd(update.numpy(), compute_uv=False)[:3])
    points = _panel(found, "Singular values of the updates").series["embed"]
    assert [value for _, value in points] == pytest.approx(np.mean(whole, axis=0), rel=1e-4)
    norms = _panel(found, "Size of the updates").series["embed"]
    per_layer = len(whole) // 3
    by_hand = [
        np.mean([np.linalg.norm(v) for v in whole[at * per_layer : (at + 1) * per_layer]])
        for at in range(3)
    ]
    assert [value for _, value in norms] == pytest.approx(by_hand, rel=1e-4)


def test_an_expert_shares_its_own_directions(subject: Subject) -> None:
    with torch.no_grad():
        for routed in subject.model.routed_layers().values():
            routed.lora_A["embed"].copy_(routed.lora_A["shared"])
            routed.lora_B["embed"].copy_(3 * routed.lora_B["shared"])
    for panel in subspaces(subject).panels:
        assert [v for _, v in panel.series["shared and embed"]] == pytest.approx([1.0] * 3)
        assert all(value < 0.9 for _, value in panel.series["shared and rerank"])


def test_cosines_are_read_from_the_log(tiny_bert: Path, toy_data: Path) -> None:
    model = make_model(tiny_bert, experts=EXPERTS, tasks=TASKS)
    log: list[dict[str, object]] = [
        {"step": n, "cosines": {"0": {"embed|rerank": -0.5}, "1": {"embed|rerank": 0.1}}}
        for n in (1, 6)
    ]
    log.insert(1, {"step": 2})
    found = cosines(_subject(model, toy_data, log))
    assert found.numbers["cosine of the gradients of embed and rerank"] == pytest.approx(-0.2)
    assert found.numbers["share of cosines below 0, embed and rerank"] == 0.5
    lines = _panel(found, "Gradients of embed and rerank, through training").series
    assert lines == {"layer 1": [(1.0, -0.5), (6.0, -0.5)], "layer 2": [(1.0, 0.1), (6.0, 0.1)]}


@pytest.mark.slow
def test_pictures_place_every_text(subject: Subject) -> None:
    by_task, by_set = pictures(subject).panels
    n = 2 * 24  # questions and passages of one data set
    assert {name: len(points) for name, points in by_task.series.items()} == {
        "frozen": n,
        "embed": n,
        "rerank": n,
    }
    assert sorted(p for points in by_task.series.values() for p in points) == sorted(
        by_set.series["toy"]
    )
