"""GradCache and recomputed activations: the same gradients from less memory."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from model.tiny_models import save_backbone
from torch import Tensor
from training.toy import toy_objectives, toy_recipe

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import TrainingError
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.training.loop.recomputation import recompute_layers
from unimoer_rag.training.loop.trainer import Trainer
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model


def one_step(
    recipe: Recipe, toy: BeirDataset, folder: Path
) -> tuple[dict[str, Any], dict[str, Tensor], int]:
    """The report, the gradients as the update sees them, and the most bytes that graphs held."""
    seen: dict[str, Tensor] = {}

    class Watcher:
        def after_backward(self, step: int) -> None:
            for name, parameter in parameters_by_name(model).items():
                if parameter.grad is not None:
                    seen[name] = parameter.grad.clone()

    model = make_model(recipe)
    # So that every matrix of an expert has a gradient.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in parameters_by_name(model).items():
            if ".lora_B." in name or name.startswith("router."):
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    objectives = toy_objectives(recipe, model, toy, folder / "cache")
    trainer = Trainer(model, recipe, folder / "run", schedules=[Watcher()])
    gc.collect()
    held = _Held()
    with torch.autograd.graph.saved_tensors_hooks(held.pack, held.unpack):
        report = trainer.train_step(objectives)
    return report, seen, held.most


class _Held:
    """Counts the bytes that live graphs hold for their backward."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> _Kept:
        kept = _Kept(self, tensor)
        self.now += kept.bytes
        self.most = max(self.most, self.now)
        return kept

    def unpack(self, kept: _Kept) -> Tensor:
        return kept.tensor


class _Kept:
    def __init__(self, held: _Held, tensor: Tensor) -> None:
        # Detached: a node that keeps its own output would hold itself.
        self.held, self.tensor = held, tensor.detach()
        self.bytes = 0 if tensor.is_leaf else tensor.numel() * tensor.element_size()

    def __del__(self) -> None:
        self.held.now -= self.bytes


def large(backbone: Path, *, times: int = 6, **changes: Any) -> Recipe:
    """Draws of several batches: that many times those of the toy recipe."""
    base = toy_recipe(backbone)
    objectives = {
        name: config.model_dump() | {"size": config.size * times}
        for name, config in base.objectives.items()
    }
    optimizer = base.optimizer.model_dump() | changes.pop("optimizer", {})
    routing = {"balance": 0.3}
    return toy_recipe(
        backbone, objectives=objectives, optimizer=optimizer, routing=routing, **changes
    )


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert len(ours) > 50
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("conflicts", ["sum", "pcgrad"])
def test_cached_gradients_are_the_same_from_less_memory(
    conflicts: str, tiny_bert: Path, toy: BeirDataset, tmp_path: Path
) -> None:
    plain = large(tiny_bert, optimizer={"conflicts": conflicts})
    cached = large(tiny_bert, optimizer={"conflicts": conflicts, "grad_cache": True})
    expected, gradients, whole = one_step(plain, toy, tmp_path / "plain")
    found, again, least = one_step(cached, toy, tmp_path / "cached")
    same(again, gradients)
    assert found["losses"] == pytest.approx(expected["losses"], abs=1e-5)
    assert found["routing"] == expected["routing"]
    assert least < whole / 4  # about a dozen batches


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
@pytest.mark.parametrize("router", ["per-layer", "token", "x-lora", "mole"])
def test_recomputed_layers_give_the_same_gradients_from_less_memory(
    kind: str, router: str, toy: BeirDataset, tmp_path: Path
) -> None:
    backbone = save_backbone(kind, tmp_path / kind)
    gate = {} if router == "per-layer" else {"gate": "softmax"}
    plain = large(backbone, times=2, router=router, **gate)
    less = large(backbone, times=2, router=router, gradient_checkpointing=True, **gate)
    _, gradients, whole = one_step(plain, toy, tmp_path / "plain")
    _, again, least = one_step(less, toy, tmp_path / "less")
    same(again, gradients)
    assert least < whole / 2


def test_what_cannot_recompute_is_told(tiny_bert: Path) -> None:
    model = make_model(toy_recipe(tiny_bert))
    model.backbone.supports_gradient_checkpointing = False
    with pytest.raises(TrainingError, match=r"gradient_checkpointing: BertModel does not support"):
        recompute_layers(model)
