from __future__ import annotations

from itertools import product

import pytest
import torch
from tiny_models import TEXTS, make_model

from unimoer_rag.model.routers import GATES, ROUTERS
from unimoer_rag.model.unimoer import UniMoER


@pytest.mark.parametrize(("router", "gate"), product(ROUTERS, GATES))
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_weights_lie_on_each_rows_own_simplex(backbone_path, kind, router, gate) -> None:
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
    n = batch.ids.shape[1] if router == "token" else 1
    for weights in states.weights:
        assert weights.shape == (len(rows), n, 3)
        assert weights.dtype == torch.float32
        assert (weights >= 0).all()
        # Sparsegen divides float32 differences by 1 - lam, which may be as small as 0.01.
        torch.testing.assert_close(weights.sum(-1), torch.ones(len(rows), n), atol=2e-4, rtol=0)
        assert (weights[:-1, :, 2] == 0).all()  # embed rows: nothing of the reading expert
        assert (weights[-1, :, 1] == 0).all()  # the read row: nothing of the embedding expert


@pytest.mark.parametrize("router", ROUTERS)
def test_an_untrained_router_mixes_evenly(backbone_path, router) -> None:
    model = make_model(backbone_path("bert"), trained=False, router=router)
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


@pytest.mark.parametrize(("router", "safe"), [("token", True), ("per-layer", False)])
def test_only_token_routing_keeps_a_decoders_prefix(backbone_path, router, safe) -> None:
    model = make_model(backbone_path("qwen3"), router=router)
    one, two = model.rows.single(
        ["the report was written by Paris", "the report was written in 1987, by four"],
        model.task("embed"),
    )
    n = next(i for i, (a, b) in enumerate(zip(one.ids, two.ids, strict=False)) if a != b)
    assert n > 4
    with torch.inference_mode():
        first = model(model.collate([one])).hidden[0, :n]
        second = model(model.collate([two])).hidden[0, :n]
    assert torch.allclose(first, second, atol=1e-5) is safe
