"""Estimates against what torch itself counts on real models."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from model.tiny_models import ARCHITECTURES, save_backbone
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from unimoer_rag.cost.forward import backbone_operations, trace_activations
from unimoer_rag.cost.recipe import DrawnRows, drawn_rows, estimate, forward_flops, row_flops
from unimoer_rag.errors import BackboneError
from unimoer_rag.model.io.backbone import BACKBONES
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.io.skeleton import ARCHITECTURES as KNOWN
from unimoer_rag.model.io.skeleton import backbone_config
from unimoer_rag.model.rows import Row
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.recipe import Recipe, skeleton_of


def recipe_of(backbone: str | Path, **changes: Any) -> Recipe:
    made: dict[str, Any] = {
        "name": "counted",
        "backbone": str(backbone),
        "experts": {
            "shared": {"r": 4, "lora_alpha": 8},
            "embed": {"r": 3, "lora_alpha": 8},
            "read": {"r": 5, "lora_alpha": 8},
        },
        "tasks": [
            {"name": "embed", "head": "vector", "experts": ["embed", "shared"], "max_tokens": 64},
            {"name": "rerank", "head": "cross", "experts": ["shared"], "max_tokens": 96},
            {"name": "read", "head": "span", "experts": ["read", "shared"], "max_tokens": 128},
        ],
        "dtype": "float32",
        "objectives": {
            "embed": {
                "kind": "contrastive",
                "task": "embed",
                "sources": ["toy"],
                "size": 4,
                "every": 2,
                "negatives": 2,
            },
            "rerank": {
                "kind": "ranking",
                "task": "rerank",
                "sources": ["toy"],
                "size": 2,
                "negatives": 3,
                "losses": [{"kind": "lce"}],
            },
            "read": {"kind": "reading", "task": "read", "sources": ["toy"], "size": 6},
        },
        "optimizer": {
            "steps": 10,
            "learning_rate": {"default": 1e-3, "router": 0.0},
            "accumulate": 2,
        },
    }
    return Recipe.model_validate(made | changes)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_backbone(kind, tmp_path_factory.mktemp(kind)) for kind in ARCHITECTURES}


def real_model(recipe: Recipe) -> UniMoER:
    return UniMoER.from_backbone(
        recipe.backbone,
        device="cpu",
        dtype="float32",
        attention=recipe.attention,
        spec=recipe.spec(),
    )


def rows(model: UniMoER, task: str, n: int, tokens: int) -> list[Row]:
    """Rows of a length, their middle the document."""
    ids = [1 + at % 20 for at in range(tokens)]
    return [Row(model.task(task), ids, (1, 4), (5, tokens - 1)) for _ in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_parameters_are_those_of_the_real_model(tiny: dict[str, Path], kind: str) -> None:
    recipe = recipe_of(tiny[kind])
    real, bare = parameters_by_name(real_model(recipe)), parameters_by_name(skeleton_of(recipe))
    assert {n: p.shape for n, p in bare.items()} == {n: p.shape for n, p in real.items()}
    found = estimate(recipe)
    n_all = sum(p.numel() for p in real_model(recipe).parameters())
    parts = [*found.experts.values(), found.router, *found.heads.values()]
    assert found.backbone + sum(parts) == n_all
    assert found.learning == sum(parts) - found.router  # whose rate is 0


# As published, without the heads that generate: 0.596 B and 4.022 B (tied to the embeddings);
# 7.242 B less the 32,000 x 4,096 of the output layer; 22.7 M less the pooler's 384 x 385.
PUBLISHED = {
    "minilm": 22_713_216 - 384 * 385,
    "qwen3-0.6b": 596_049_920,
    "qwen3-4b": 4_022_468_096,
    "mistral-7b": 7_241_732_096 - 32_000 * 4_096,
    "qwen3-0.6b-base": 596_049_920,
    "qwen3-4b-base": 4_022_468_096,
    "mistral-7b-v0.3": 7_248_023_552 - 32_768 * 4_096,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_backbones_known_by_name_have_their_published_size(name: str) -> None:
    model = skeleton_of(recipe_of(name))
    experts = sum(p.numel() for n, p in parameters_by_name(model).items() if "experts" in n)
    assert sum(p.numel() for p in model.backbone.parameters()) - experts == PUBLISHED[name]


def test_the_shape_written_down_is_that_of_the_wheel(minilm_path: Path) -> None:
    config = json.loads((minilm_path / "config.json").read_text(encoding="utf-8"))
    assert {key: config[key] for key in KNOWN["minilm"]} == KNOWN["minilm"]
    decoders = {name for name, spec in BACKBONES.items() if spec.kind == "language"}
    assert decoders <= {*KNOWN, *(name for name in decoders if name.startswith("ettin"))}
    assert set(KNOWN) <= set(BACKBONES)


def kept_bytes(model: UniMoER, task: str, n: int, tokens: int) -> int:
    """What autograd keeps of a real forward through backbone and experts."""
    given = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        at = tensor.untyped_storage().data_ptr()
        if at not in given:
            kept.setdefault(at, tensor)
        return tensor

    # One is shorter: training batches are padded, and masks for that cost memory.
    batch = model.collate([*rows(model, task, n - 1, tokens), *rows(model, task, 1, tokens - 9)])
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        model(batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_activations_are_what_autograd_keeps(
    tiny: dict[str, Path], kind: str, attention: str
) -> None:
    recipe = recipe_of(tiny[kind], attention=attention)
    n, tokens = 6, 101
    traced = trace_activations(
        skeleton_of(recipe),
        rows=n,
        tokens=tokens,
        experts={"embed", "shared"},
        dtype=torch.float32,
        fused_attention=attention == "sdpa",
    )
    assert traced.whole == pytest.approx(
        kept_bytes(real_model(recipe), "embed", n, tokens), rel=0.1
    )
    assert traced.inputs == 3 * n * tokens * 32 * 4


@pytest.mark.slow
@pytest.mark.parametrize("task", ["embed", "read"])
@pytest.mark.parametrize("kind", ["bert", "qwen3", "mistral"])
def test_operations_are_what_torch_counts(tiny: dict[str, Path], kind: str, task: str) -> None:
    recipe = recipe_of(tiny[kind])
    model = real_model(recipe)
    n, tokens = 4, 50
    batch = model.collate(rows(model, task, n, tokens))
    with FlopCounterMode(display=False) as forward:
        outputs = model.read_out(batch, model(batch).hidden)
    floats = [o if isinstance(o, torch.Tensor) else o.start + o.end for o in outputs]
    with FlopCounterMode(display=False) as backward:
        torch.stack(floats).sum().backward()
    bare = skeleton_of(recipe)
    each = backbone_operations(bare.backbone)
    spent = sum(forward_flops(bare, each, task, tokens)) * n
    assert spent == pytest.approx(forward.get_total_flops(), rel=0.05)
    whole = row_flops(recipe, bare, each, DrawnRows(task, n, tokens, anchored=False))
    counted = forward.get_total_flops() + backward.get_total_flops()
    # The first layer's frozen maps need no gradient of their input: a tenth of three layers.
    assert whole == pytest.approx(counted, rel=0.12)
    assert whole > counted


def test_second_forwards_and_the_anchor_are_counted(tiny: dict[str, Path]) -> None:
    plain = recipe_of(tiny["qwen3"])
    model = skeleton_of(plain)
    plain_rows, anchored = DrawnRows("embed", 2, 40, False), DrawnRows("embed", 2, 40, True)
    each = backbone_operations(model.backbone)
    frozen, attention, trained = (x * 2 for x in forward_flops(model, each, "embed", 40))
    once = row_flops(plain, model, each, plain_rows)
    again = plain.model_copy(update={"gradient_checkpointing": True})
    cached = plain.model_copy(
        update={"optimizer": plain.optimizer.model_copy(update={"grad_cache": True})}
    )
    assert once == 2 * frozen + 3 * attention + 3 * trained
    assert row_flops(again, model, each, plain_rows) - once == frozen + attention + trained
    assert row_flops(cached, model, each, plain_rows) - once == frozen + attention + trained
    assert row_flops(plain, model, each, anchored) - once == frozen + attention


@pytest.mark.slow
def test_the_rows_of_a_draw() -> None:
    found = drawn_rows(recipe_of("minilm"), passage_tokens=80, query_tokens=10)
    assert found["embed"] == [DrawnRows("embed", 4, 10, True), DrawnRows("embed", 12, 64, True)]
    assert found["rerank"] == [DrawnRows("rerank", 8, 90, False)]
    assert found["read"] == [DrawnRows("read", 6, 90, False)]
    # Two draws a step; the embedding takes part in every second step.
    tokens = estimate(recipe_of("minilm"), passage_tokens=80, query_tokens=10).tokens
    assert tokens == 2 * ((4 * 10 + 12 * 64) / 2 + 8 * 90 + 6 * 90)


@pytest.mark.slow
def test_what_saves_memory_does(tiny: dict[str, Path]) -> None:
    plain = recipe_of(tiny["qwen3"])
    optimizer = plain.optimizer.model_copy(update={"grad_cache": True, "token_budget": 256})
    kept = [
        estimate(recipe).memory["H200"].activations
        for recipe in (
            plain,
            plain.model_copy(update={"gradient_checkpointing": True}),
            plain.model_copy(update={"optimizer": optimizer}),
            plain.model_copy(update={"optimizer": optimizer, "gradient_checkpointing": True}),
        )
    ]
    assert kept[0] > kept[1] > kept[3]
    assert kept[0] > kept[2] > kept[3]


def test_a_backbone_without_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'minilmm'"):
        backbone_config("minilmm")
    with pytest.raises(BackboneError, match="pinned as owner/name@<40-digit commit>"):
        backbone_config("owner/name@main")
    with pytest.raises(BackboneError, match="no configuration"):
        backbone_config(str(tmp_path))


def test_modules_are_found_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for old, now in (("estimate", "recipe"), ("activations", "forward")):
        monkeypatch.delitem(sys.modules, f"unimoer_rag.training.{old}", raising=False)  # told once
        with pytest.warns(DeprecationWarning, match=f"is now unimoer_rag.cost.{now}"):
            module = import_module(f"unimoer_rag.training.{old}")
        assert module is import_module(f"unimoer_rag.cost.{now}")
