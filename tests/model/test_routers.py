from __future__ import annotations

import pytest
import torch
from router_cases import COMBINATIONS, GATED, PER_TOKEN, untrained
from tiny_models import TEXTS, make_model

from unimoer_rag.model.pilots import fit_pilots
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.unimoer import UniMoER


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_each_rows_weights_are_its_own_experts_alone(backbone_path, kind, router, gate) -> None:
    model = make_model(backbone_path(kind), router=router, gate=gate)
    rows = [
        *model.rows.single(TEXTS, model.task("embed")),
        *model.rows.pairs([(TEXTS[0], TEXTS[1])], model.task("read")),
    ]
    batch = model.collate(rows)
    with torch.inference_mode():
        states = model(batch)
    assert states.experts == ("shared", "embed", "read")
    assert len(states.weights) == model.n_layers
    n = batch.ids.shape[1] if router in PER_TOKEN else 1
    for decision in states.routing:
        weights = decision.weights
        assert weights.shape == (len(rows), n, 3)
        assert weights.dtype == torch.float32
        assert (weights >= 0).all()
        assert (weights[:-1, :, 2] == 0).all()  # embed rows: nothing of the reading expert
        assert (weights[-1, :, 1] == 0).all()  # the read row: nothing of the embedding expert
        total = {"switch": 2.0}.get(router, 1.0)
        if gate == "tsallis" and router in GATED:  # what it cuts off goes to nobody
            assert (weights.sum(-1) <= total + 1e-5).all()
        else:
            # Sparsegen divides float32 differences by 1 - lam, which may be as small as 0.01.
            torch.testing.assert_close(
                weights.sum(-1), torch.full((len(rows), n), total), atol=2e-4, rtol=0
            )
        if router in GATED:
            assert decision.logits is not None
            assert decision.logits.shape == weights.shape
        assert (decision.lam is not None) is (router in GATED and gate == "sparsegen")
        assert (decision.ranks is not None) is (router == "rank-wise")


@pytest.mark.parametrize("router", GATED)
def test_an_untrained_router_mixes_evenly(backbone_path, router) -> None:
    model = untrained(backbone_path("bert"), router)
    with torch.inference_mode():
        states = model(model.collate(model.rows.single(TEXTS, model.task("embed"))))
    for weights in states.weights:
        torch.testing.assert_close(weights, torch.full_like(weights, 0.5))


def weights_of(model: UniMoER, texts: list[str]) -> list[torch.Tensor]:
    with torch.inference_mode():
        return list(model(model.collate(model.rows.single(texts, model.task("embed")))).weights)


def test_task_explicit_weights_are_the_same_for_every_text(backbone_path) -> None:
    model = make_model(backbone_path("bert"), router="task-explicit")
    layers = weights_of(model, TEXTS)
    for weights in layers:
        assert (weights == weights[0]).all()
    assert not torch.equal(layers[0], layers[1])


def test_the_sequence_router_decides_once(backbone_path) -> None:
    model = make_model(backbone_path("bert"), router="sequence", gate="softmax")
    layers = weights_of(model, TEXTS)
    assert all(torch.equal(weights, layers[0]) for weights in layers)
    assert not torch.equal(layers[0][0], layers[0][1])


def test_the_default_router_decides_by_layer_and_text(bert: UniMoER) -> None:
    layers = weights_of(bert, TEXTS)
    assert not torch.equal(layers[0], layers[1])
    assert not torch.equal(layers[0][0], layers[0][1])


SAFE = {
    "per-layer": False,
    "sequence": False,
    "token": True,
    "task-explicit": True,
    "switch": True,
    "mole": False,
    "mlp": False,
    "x-lora": True,
    "similarity": False,
    "rank-wise": True,
}


@pytest.mark.parametrize("router", ROUTERS)
def test_which_routers_keep_a_decoders_prefix(backbone_path, router) -> None:
    model = make_model(backbone_path("qwen3"), router=router)
    texts = ["the report was written by Paris", "the report was written in 1987, by four"]
    if router == "similarity":
        fit_pilots(model, {"embed": texts[:1], "shared": texts[1:]})
    one, two = model.rows.single(texts, model.task("embed"))
    n = next(i for i, (a, b) in enumerate(zip(one.ids, two.ids, strict=False)) if a != b)
    assert n > 4
    with torch.inference_mode():
        first = model(model.collate([one])).hidden[0, :n]
        second = model(model.collate([two])).hidden[0, :n]
    assert torch.allclose(first, second, atol=1e-3) is SAFE[router]
