"""What holds for every router with every gate that it takes."""

from __future__ import annotations

import pytest
import torch
from router_cases import COMBINATIONS, untrained
from tiny_models import TEXTS, make_model
from torch import Tensor
from transformers import AutoModel

from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.layers.scope import checkpoint_contexts
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.unimoer import UniMoER

# A layer without one of the experts, and an expert in some linear layers only.
PLACED = {
    "shared": ExpertSpec(rank=4, alpha=8),
    "embed": ExpertSpec(rank=2, alpha=4, layers=(0, 2)),
    "rerank": ExpertSpec(rank=3, alpha=6),
    "read": ExpertSpec(rank=8, alpha=8),
}


def rows_of(model: UniMoER) -> list:
    return [
        *model.rows.single(TEXTS[:2], model.task("embed")),
        *model.rows.single(TEXTS[2:], model.task("rerank")),
        *model.rows.pairs([(TEXTS[0], TEXTS[1])], model.task("rerank-cross")),
        *model.rows.pairs([(TEXTS[2], TEXTS[3])], model.task("read")),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_untrained_experts_are_the_backbone_bit_for_bit(backbone_path, kind, router, gate) -> None:
    model = untrained(backbone_path(kind), router, gate, experts=PLACED)
    batch = model.collate(rows_of(model))
    bare = AutoModel.from_pretrained(str(backbone_path(kind)), dtype=torch.float32).eval()
    types = {} if batch.types is None else {"token_type_ids": batch.types}
    with torch.inference_mode():
        states = model(batch)
        expected = bare(input_ids=batch.ids, attention_mask=batch.mask.long(), **types)
    assert len(states.routing) == model.n_layers  # the experts did take part
    assert torch.equal(states.hidden, expected.last_hidden_state)


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_a_row_alone_is_the_row_beside_others(backbone_path, kind, router, gate) -> None:
    model = make_model(backbone_path(kind), router=router, gate=gate, experts=PLACED)
    rows = rows_of(model)
    with torch.inference_mode():
        together = model(model.collate(rows))
        for at, row in enumerate(rows):
            n = len(row.ids)
            alone = model(model.collate([row]))
            torch.testing.assert_close(
                together.hidden[at, :n], alone.hidden[0], atol=1e-3, rtol=1e-3
            )
            for ours, theirs in zip(together.weights, alone.weights, strict=True):
                index = [together.experts.index(expert) for expert in alone.experts]
                # Sparsegen divides float32 differences by 1 - lam, as small as 0.01.
                torch.testing.assert_close(
                    ours[at, : theirs.shape[1]][:, index], theirs[0], atol=1e-3, rtol=0
                )


@pytest.mark.slow
@pytest.mark.parametrize(("router", "gate"), COMBINATIONS)
def test_the_loss_reaches_everything_that_a_router_learns(backbone_path, router, gate) -> None:
    model = make_model(backbone_path("bert"), router=router, gate=gate)
    generator = torch.Generator().manual_seed(2)
    task = model.task("embed")
    batch = model.collate(model.rows.single([*TEXTS, *(t[::-1] for t in TEXTS)], task))
    hidden = model(batch).hidden
    (hidden * torch.randn(hidden.shape, generator=generator)).sum().backward()
    learned = {n: p for n, p in model.router.named_parameters() if p.requires_grad}
    if router == "task-explicit":  # the other tasks' constants took no part
        learned = {n: p for n, p in learned.items() if n.partition(".")[2] in ("embed", n)}
        learned = {n: p for n, p in learned.items() if n == "logits.embed"}
    assert bool(learned) is (router not in ("switch", "similarity"))
    for name, parameter in learned.items():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.any(), name


def gradients(model: UniMoER, batch, seed: int) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(seed)
    states = model(batch)
    mixed = torch.linspace(-1, 1, states.hidden.numel()).view_as(states.hidden).sin()
    loss = (states.hidden * mixed).sum() + sum(w.square().sum() for w in states.weights)
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_activation_checkpointing_gives_the_same_gradients(backbone_path, kind, router) -> None:
    model = make_model(backbone_path(kind), router=router, experts=PLACED).train()
    batch = model.collate(rows_of(model))
    plain = gradients(model, batch, seed=3)
    model.backbone.activation_checkpointing_enable(
        {"use_reentrant": False, "context_fn": checkpoint_contexts}
    )
    again = gradients(model, batch, seed=3)
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, msg=name)


def test_a_checkpointed_graph_can_be_walked_twice(backbone_path) -> None:
    model = make_model(backbone_path("bert"), experts=PLACED).train()
    model.backbone.activation_checkpointing_enable(
        {"use_reentrant": False, "context_fn": checkpoint_contexts}
    )
    mean = model(model.collate(rows_of(model))).hidden[:, :, 0].mean()
    first, second = (
        torch.autograd.grad(mean, model.router.weight, retain_graph=True)[0] for _ in range(2)
    )
    assert first.any()
    torch.testing.assert_close(first, second)
