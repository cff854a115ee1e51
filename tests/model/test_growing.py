"""Adding an expert and a task leaves what was there bit for bit as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from router_cases import COMBINATIONS, set_pilots, untrained
from tiny_models import TEXTS, make_model, randomise

from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

LEGAL = Task("legal", "cross", ("legal", "shared"))


def everything(model: UniMoER) -> list[np.ndarray]:
    readings = model.read("who wrote it?", TEXTS)
    return [
        model.embed(TEXTS),
        model.score(TEXTS[0], TEXTS, logits=True),
        model.score(TEXTS[0], TEXTS, task="rerank-cross", logits=True),
        np.array([[r.start, r.end, r.margin, r.no_answer] for r in readings]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
def test_old_tasks_are_bit_identical(backbone_path, router, gate) -> None:
    model = make_model(backbone_path("bert"), router=router, gate=gate)
    before = everything(model)
    model.add_expert("legal", ExpertSpec(rank=4, alpha=8))
    model.add_task(LEGAL)
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    with torch.no_grad():  # and after the new expert has learned something
        for layer in model.routed_layers().values():
            layer.lora_B["legal"].normal_()
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
@pytest.mark.parametrize("router", ROUTERS)
def test_the_new_task_works_and_is_saved(backbone_path, tmp_path, router) -> None:
    model = untrained(backbone_path("bert"), router)
    model.add_expert("legal", ExpertSpec(rank=4, alpha=8))
    model.add_task(LEGAL)
    if router == "similarity":
        set_pilots(model)
    model.add_task(Task("topics", "vector", ("legal",), max_tokens=64))
    silent = model.score(TEXTS[0], TEXTS, task="legal", logits=True)
    assert (silent == 0).all()
    randomise(model)
    scores = model.score(TEXTS[0], TEXTS, task="legal", logits=True)
    assert np.ptp(scores) > 1e-3
    model.save_pretrained(tmp_path / "grown")
    again = UniMoER.from_pretrained(tmp_path / "grown", device="cpu", dtype="float32")
    assert list(again.experts) == [*model.experts]
    np.testing.assert_allclose(
        again.score(TEXTS[0], TEXTS, task="legal", logits=True), scores, atol=1e-5
    )


def test_names_that_are_taken_or_cannot_be_are_refused(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    size = ExpertSpec(rank=2, alpha=2)
    with pytest.raises(InputError, match="'shared' exists already"):
        model.add_expert("shared", size)
    for name in ("", "a.b", "my expert", "update", "training", "../x"):
        with pytest.raises(InputError, match="cannot be the name of an expert"):
            model.add_expert(name, size)
        with pytest.raises(InputError, match="cannot be the name of a task"):
            model.add_task(Task(name, "late", ("shared",)))
    with pytest.raises(InputError, match="'embed' exists already"):
        model.add_task(Task("embed", "vector", ("shared",)))
    with pytest.raises(InputError, match="'legal', which does not exist: expected one of shared"):
        model.add_task(LEGAL)
    assert "legal" not in model.tasks
