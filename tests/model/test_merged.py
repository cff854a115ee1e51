"""Merged tasks: the same answers from weights of their own."""

from __future__ import annotations

import pytest
import torch
from tiny_models import TEXTS, make_model

from unimoer_rag.errors import InputError
from unimoer_rag.model.batching import Batch
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

TASKS = (
    Task("both", "vector", ("one", "two"), strength=0.7),
    Task("alone", "vector", ("one",), strength=1.3),
)
EXPERTS = {
    "one": ExpertSpec(rank=2, alpha=3.0),
    "two": ExpertSpec(rank=3, alpha=2.0, layers=(1,)),
}


def tiny(path, router: str) -> UniMoER:
    return make_model(path, experts=EXPERTS, tasks=TASKS, router=router)


def batch(model: UniMoER, *names: str) -> Batch:
    rows = [
        model.rows.single([text], model.task(names[at % len(names)]))[0]
        for at, text in enumerate(TEXTS)
    ]
    return model.collate(rows)


@pytest.mark.parametrize("family", ["bert", "modernbert", "qwen3"])
@pytest.mark.parametrize(
    ("router", "task"),
    [("per-layer", "alone"), ("task-explicit", "both"), ("switch", "alone")],
)
@torch.no_grad()
def test_a_merged_task_gives_the_same_states(backbone_path, family, router, task) -> None:
    model = tiny(backbone_path(family), router)
    work = batch(model, task)
    routed = model(work)
    assert routed.routing
    model.merge(task)
    merged = model(work)
    assert not merged.routing
    real = work.mask
    torch.testing.assert_close(merged.hidden[real], routed.hidden[real], atol=2e-5, rtol=1e-4)
    bare = model.rows.single(TEXTS, model.task(task).with_strength(0.0))
    assert (model(model.collate(bare)).hidden[real] - merged.hidden[real]).abs().max() > 1e-2


@torch.no_grad()
def test_batches_of_several_tasks_and_other_strengths_run_routed(backbone_path) -> None:
    model = tiny(backbone_path("bert"), "task-explicit")
    mixed = batch(model, "both", "alone")
    weaker = model.collate(model.rows.single(TEXTS, model.task("both").with_strength(0.2)))
    before = [model(work).hidden for work in (mixed, weaker)]
    model.merge("both", "alone")
    after = [model(work).hidden for work in (mixed, weaker)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_gradients_run_through_the_experts(backbone_path) -> None:
    model = tiny(backbone_path("bert"), "task-explicit")
    model.merge("both")
    model(batch(model, "both")).hidden.sum().backward()
    first = next(iter(model.routed_layers().values()))
    assert first.lora_B["one"].grad is not None
    assert float(first.lora_B["one"].grad.abs().max()) > 0


def test_merging_nothing_ends_it_and_frees_the_memory(backbone_path) -> None:
    model = tiny(backbone_path("bert"), "task-explicit")
    n = sum(p.numel() for p in model.parameters())
    model.merge("both")
    assert sum(p.numel() for p in model.parameters()) > n
    model.merge()
    assert sum(p.numel() for p in model.parameters()) == n
    with torch.inference_mode():
        assert model(batch(model, "both")).routing


def test_what_depends_on_the_text_is_refused_and_nothing_changes(backbone_path) -> None:
    model = tiny(backbone_path("bert"), "per-layer")
    model.merge("alone")
    with pytest.raises(InputError, match="weighs the experts of 'both' by the text"):
        model.merge("alone", "both")
    with pytest.raises(InputError, match="no task 'third'"):
        model.merge("third")
    with torch.inference_mode():
        assert not model(batch(model, "alone")).routing
