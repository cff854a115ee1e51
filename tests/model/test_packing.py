"""Batches without padding give what padded ones give, whatever routes and whatever attends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from router_cases import set_pilots
from tiny_models import ARCHITECTURES, CORPUS, TEXTS, make_model

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.layers.packed_attention import PACKED_ATTENTION, has_kernels
from unimoer_rag.model.layers.packing import current_packing, packed, plan_packing
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.unimoer import UniMoER

CPU = torch.device("cpu")
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def mixed_rows(model: UniMoER):
    rows = model.rows.single(TEXTS, model.task("embed"))
    rows += model.rows.single(CORPUS, model.task("rerank"))
    rows += model.rows.pairs(
        [("who wrote it?", text) for text in TEXTS], model.task("rerank-cross")
    )
    return rows + model.rows.pairs([(CORPUS[3], text) for text in TEXTS], model.task("read"))


def both_ways(model: UniMoER):
    """The states of a mixed batch, padded and packed, and its mask."""
    batch = model.collate(mixed_rows(model))
    with torch.inference_mode():
        model.set_unpadded(False)
        padded = model(batch)
        model.set_unpadded(True)
        assert model.unpadded
        unpadded = model(batch)
    assert unpadded.experts == padded.experts
    return padded, unpadded, batch.mask


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_packed_rows_come_back_as_they_were(lengths) -> None:
    packing = plan_packing(lengths, CPU)
    padded = torch.zeros(len(lengths), max(lengths), 3)
    for row, length in enumerate(lengths):
        padded[row, :length] = torch.randn(length, 3)
    one = packing.pack(padded)
    assert torch.equal(one[0], torch.cat([r[:n] for r, n in zip(padded, lengths, strict=True)]))
    assert torch.equal(packing.pad(one), padded)
    assert packing.bounds.tolist() == [0, *np.cumsum(lengths)]
    assert packing.positions.tolist() == [[at for n in lengths for at in range(n)]]
    of_row = packing.pack(torch.arange(len(lengths)).view(-1, 1, 1))
    assert of_row.flatten().tolist() == [at for at, n in enumerate(lengths) for _ in range(n)]


def test_a_packing_holds_inside_its_block_alone() -> None:
    packing = plan_packing([2, 1], CPU)
    with packed(packing):
        assert current_packing() is packing
    with pytest.raises(ZeroDivisionError), packed(packing):
        _ = 1 / 0
    assert current_packing() is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("router", ["per-layer", "token"])
def test_every_architecture_runs_packed(backbone_path, kind, router) -> None:
    model = make_model(backbone_path(kind), router=router, gate="softmax")
    model.backbone.double()  # the weights are large: float32 differs by batch
    padded, unpadded, mask = both_ways(model)
    torch.testing.assert_close(unpadded.hidden[mask], padded.hidden[mask], atol=1e-5, rtol=0)
    assert not unpadded.hidden[~mask].any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
@pytest.mark.parametrize("router", ROUTERS)
def test_every_router_decides_the_same_packed(backbone_path, kind, router) -> None:
    model = make_model(backbone_path(kind), router=router, gate="softmax")
    if router == "similarity":
        set_pilots(model)
    model.backbone.double()
    padded, unpadded, mask = both_ways(model)
    torch.testing.assert_close(unpadded.hidden[mask], padded.hidden[mask], atol=1e-5, rtol=0)
    for one, other in zip(unpadded.weights, padded.weights, strict=True):
        assert one.shape == other.shape
        real = mask if one.shape[1] > 1 else mask[:, :1]
        torch.testing.assert_close(one[real], other[real], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["modernbert", "mistral"])
def test_a_window_of_attention_ends_with_its_row(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind), router="token", gate="softmax")
    model.backbone.double()
    if kind == "mistral":  # the other one has a window of its own
        model.backbone.config.sliding_window = 6
        for layer in model.layers:
            layer.self_attn.sliding_window = 6
    padded, unpadded, mask = both_ways(model)
    assert int(mask.sum(-1).min()) < 6 < int(mask.sum(-1).max())
    torch.testing.assert_close(unpadded.hidden[mask], padded.hidden[mask], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_an_engine_answers_the_same_packed(backbone_path, kind) -> None:
    model = make_model(backbone_path(kind), router="token", gate="softmax")
    model.backbone.double()
    model.share_prefixes = False
    answers = []
    for unpadded in (False, True):
        model.set_unpadded(unpadded)
        with Engine(model, token_budget=256) as engine:
            answers.append(
                [
                    engine.embed(TEXTS),
                    engine.score("who wrote it?", CORPUS, logits=True),
                    engine.score("who wrote it?", TEXTS, task="rerank-cross", logits=True),
                    np.array([(r.start, r.end) for r in engine.read("who wrote it?", CORPUS)]),
                ]
            )
            assert (engine.stats.padded == engine.stats.tokens) is unpadded
    for padded, packed_one in zip(*answers, strict=True):
        np.testing.assert_allclose(packed_one, padded, atol=2e-5, rtol=0)


def test_gradients_come_by_padding(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    model.set_unpadded(True)
    batch = model.collate(mixed_rows(model))
    seen = []
    model.layers[0].register_forward_hook(lambda *_: seen.append(current_packing()))
    model(batch).hidden.sum().backward()
    with torch.no_grad():
        model(batch)
    assert seen[0] is None
    assert seen[1] is not None


def test_automatic_is_padded_without_kernels(backbone_path) -> None:
    assert not has_kernels(CPU, torch.bfloat16)
    assert not has_kernels(torch.device("cuda"), torch.float32)
    model = make_model(backbone_path("bert"))
    model.set_unpadded("auto")
    assert not model.unpadded
    assert model.backbone.config._attn_implementation == "sdpa"
    model.set_unpadded(True)
    model.set_unpadded("auto")  # what was chosen stays
    assert model.unpadded
    assert model.backbone.config._attn_implementation == PACKED_ATTENTION
    model.set_unpadded(False)
    assert model.backbone.config._attn_implementation == "sdpa"


def test_a_backbone_that_differs_without_padding_is_refused(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    embeddings = model.backbone.embeddings
    embeddings.register_forward_pre_hook(  # as one that numbers positions in its own way
        lambda module, args, kwargs: (args, {**kwargs, "position_ids": None}), with_kwargs=True
    )
    with pytest.raises(InputError, match="a bert does not give the same without padding"):
        model.set_unpadded(True)
    assert not model.unpadded
    assert model.backbone.config._attn_implementation == "sdpa"


@NEEDS_CUDA
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("router", ["per-layer", "token", "sequence"])
def test_packed_kernels_give_what_padding_gives(backbone_path, kind, router) -> None:
    model = UniMoER.from_backbone(
        str(backbone_path(kind)), device="cuda", dtype="bfloat16", router=router
    )
    assert has_kernels(model.device, model.dtype)
    model.set_unpadded("auto")
    assert model.unpadded
    padded, unpadded, mask = both_ways(model)
    difference = (unpadded.hidden[mask] - padded.hidden[mask]).float()
    assert difference.norm() < 0.02 * padded.hidden[mask].float().norm()
