from __future__ import annotations

import pytest
import torch
from tiny_models import TEXTS, make_model
from torch import Tensor, nn

from unimoer_rag.errors import InputError
from unimoer_rag.model.forward import States
from unimoer_rag.model.layers.experts import ExpertSpec, RoutedLinear
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.unimoer import UniMoER


class LoopedLinear(nn.Module):
    """The same layer, one expert after the other, from routing weights that are handed in."""

    def __init__(self, routed: RoutedLinear, model: UniMoER, given: dict[str, Tensor]) -> None:
        super().__init__()
        self.routed, self.model, self.given = routed, model, given

    def forward(self, x: Tensor) -> Tensor:
        y = self.routed.base(x)
        for name, spec in self.model.experts.items():
            up, down = self.routed.lora_B[name], self.routed.lora_A[name]
            delta = torch.einsum("oi,rti->rto", up @ down, x) * (spec.alpha / spec.rank)
            y = y + self.given[name] * delta
        return y


class LoopedRanks(LoopedLinear):
    """The same, each rank an expert of rank 1 with the alpha of the expert it is part of."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.routed.base(x)
        for name, spec in self.model.experts.items():
            up, down = self.routed.lora_B[name], self.routed.lora_A[name]
            for i in range(spec.rank):
                delta = torch.einsum("o,i,rti->rto", up[:, i], down[i], x) * spec.alpha
                y = y + self.given[name][..., i : i + 1] * delta
        return y


def looped_hidden(model: UniMoER, batch, states: States) -> Tensor:
    """Hidden states with loops over experts, routed by the recorded weights of each layer."""
    strength = torch.tensor([row.task.strength for row in batch.rows]).view(-1, 1, 1)
    swapped = []
    for name, routed in model.routed_layers().items():
        layer = next(int(part) for part in name.split(".") if part.isdigit())
        decision = states.routing[layer]
        given = {name: torch.zeros(1, 1, spec.rank) for name, spec in model.experts.items()}
        sizes = [model.experts[expert].rank for expert in states.experts]
        ranks = decision.ranks.split(sizes, -1) if decision.ranks is not None else ()
        parts = ranks or decision.weights.split(1, -1)
        for expert, part in zip(states.experts, parts, strict=True):
            given[expert] = part * strength
        path, _, child = name.rpartition(".")
        parent = model.backbone.get_submodule(path)
        swapped.append((parent, child, routed))
        kind = LoopedRanks if ranks else LoopedLinear
        given = given if ranks else {e: w[..., :1] for e, w in given.items()}
        setattr(parent, child, kind(routed, model, given))
    try:
        kwargs = {} if batch.types is None else {"token_type_ids": batch.types}
        return model.backbone(
            input_ids=batch.ids, attention_mask=batch.mask.long(), **kwargs
        ).last_hidden_state
    finally:
        for parent, child, routed in swapped:
            setattr(parent, child, routed)


@pytest.mark.slow
@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("kind", ["bert", "modernbert", "qwen3"])
def test_fused_experts_equal_the_loop_over_experts(backbone_path, kind, router) -> None:
    experts = {
        "shared": ExpertSpec(rank=4, alpha=8),
        "embed": ExpertSpec(rank=2, alpha=1),
        "rerank": ExpertSpec(rank=8, alpha=16),
        "read": ExpertSpec(rank=3, alpha=3),
    }
    model = make_model(backbone_path(kind), router=router, experts=experts)
    rows = [
        *model.rows.single(TEXTS[:2], model.task("embed")),
        *model.rows.single(TEXTS[2:], model.task("rerank").with_strength(0.5)),
        *model.rows.pairs([(TEXTS[0], TEXTS[1])], model.task("read")),
    ]
    batch = model.collate(rows)
    with torch.inference_mode():
        states = model(batch)
        expected = looped_hidden(model, batch, states)
        silent = model(
            model.collate([type(r)(r.task.with_strength(0), r.ids, r.first) for r in rows])
        )
    real = batch.mask
    torch.testing.assert_close(states.hidden[real], expected[real], atol=2e-4, rtol=1e-4)
    assert not torch.allclose(states.hidden[real], silent.hidden[real], atol=1e-2)


def test_a_new_layer_is_kaiming_uniform_below_and_zero_above() -> None:
    layer = RoutedLinear(nn.Linear(64, 8), {"one": ExpertSpec(rank=16, alpha=16)})
    down, up = layer.lora_A["one"], layer.lora_B["one"]
    assert down.shape == (16, 64)
    assert up.shape == (8, 16)
    bound = 1 / 64**0.5  # Kaiming uniform with a = sqrt(5), as nn.Linear and LoRA have it
    assert 0.8 * bound < float(down.detach().abs().max()) <= bound
    assert not up.detach().any()


def test_the_fused_matrices_follow_every_change() -> None:
    layer = RoutedLinear(
        nn.Linear(4, 4), {"a": ExpertSpec(rank=2, alpha=2), "b": ExpertSpec(rank=1, alpha=2)}
    )
    with torch.no_grad():
        down, up = layer.fused(("a", "b"), torch.float32)
        assert down.shape == (3, 4)
        assert up.shape == (4, 3)
        assert layer.fused(("a", "b"), torch.float32)[0] is down
        layer.lora_A["a"].add_(1.0)
        changed = layer.fused(("a", "b"), torch.float32)[0]
        torch.testing.assert_close(changed[:2], down[:2] + 1.0)
        layer.lora_A["a"] = nn.Parameter(torch.zeros(2, 4))
        assert not layer.fused(("a", "b"), torch.float32)[0][:2].any()
    with torch.inference_mode():
        assert layer.fused(("b",), torch.bfloat16)[0].dtype == torch.bfloat16


def test_only_experts_router_and_heads_get_gradients(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    batch = model.collate(model.rows.pairs([(TEXTS[0], TEXTS[1])], model.task("rerank-cross")))
    torch.stack(model.read_out(batch, model(batch).hidden)).sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert any(".lora_A.rerank" in name for name in trained)
    assert any(name.startswith("router.") for name in trained)
    assert all(".lora_" in n or n.startswith(("router.", "heads.rerank-cross.")) for n in trained)
    assert not any(".lora_A.read" in name for name in trained)


@pytest.mark.parametrize(("rank", "alpha"), [(0, 8), (4, 0), (4, float("nan")), (-1, 1)])
def test_sizes_that_cannot_be_are_refused(rank: int, alpha: float) -> None:
    with pytest.raises(InputError, match="rank"):
        ExpertSpec(rank=rank, alpha=alpha)


def test_targets_choose_layers_and_unknown_ones_are_named(backbone_path) -> None:
    model = make_model(backbone_path("bert"), targets=("query", "value"))
    assert {name.rpartition(".")[2] for name in model.routed_layers()} == {"query", "value"}
    with pytest.raises(InputError, match=r"called q_proj: expected targets among .*query"):
        make_model(backbone_path("bert"), targets=("query", "q_proj"))
