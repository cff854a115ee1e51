"""Experts taken out and merged: what does not name them stays bit for bit as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, make_model, randomise

from unimoer_rag.errors import InputError
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.surgery import merge_experts
from unimoer_rag.model.tasks import DEFAULT_TASKS, Task
from unimoer_rag.model.unimoer import UniMoER

EXPERTS = {
    "shared": ExpertSpec(2, 4),
    "embed": ExpertSpec(2, 4),
    "law": ExpertSpec(3, 6),
    "rerank": ExpertSpec(2, 4),
    "read": ExpertSpec(2, 4),
    "tax": ExpertSpec(3, 12),
}
LEGAL = Task("legal", "vector", ("law", "tax"))
OTHER = Task("other", "cross", ("law", "shared"))


def new(path, router: str = "switch", **options) -> UniMoER:
    tasks = [*DEFAULT_TASKS, LEGAL, OTHER]
    return make_model(path, router=router, experts=EXPERTS, tasks=tasks, **options)


def everything(model: UniMoER) -> list[np.ndarray]:
    """What the tasks give that do not name `law` and `tax`."""
    readings = model.read("who wrote it?", TEXTS)
    return [
        model.embed(TEXTS),
        model.embed(TEXTS, "query"),
        model.score(TEXTS[0], TEXTS, logits=True),
        model.rank(TEXTS[0], TEXTS, logits=True),
        model.score(TEXTS[0], TEXTS, task="rerank-cross", logits=True),
        np.array([[r.start, r.end, r.margin, r.no_answer] for r in readings]),
    ]


def legal(model: UniMoER) -> torch.Tensor:
    return torch.stack(model.run(model.rows.single(TEXTS, model.task("legal"))))


def same(before: list[np.ndarray], after: list[np.ndarray]) -> None:
    for old, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.fixture(params=list(ROUTERS))
def model(request, backbone_path) -> UniMoER:
    return new(backbone_path("bert"), request.param)


@pytest.mark.slow
def test_removing_leaves_the_others_bit_identical(model: UniMoER, tmp_path) -> None:
    before = everything(model)
    for task in ("legal", "other"):
        model.remove_task(task)
    same(before, everything(model))
    for expert in ("law", "tax"):
        model.remove_expert(expert)
    same(before, everything(model))
    assert list(model.experts) == ["shared", "embed", "rerank", "read"]
    assert list(model.tasks) == [task.name for task in DEFAULT_TASKS]
    assert not [n for n in parameters_by_name(model) if ".law." in n or "other" in n]
    model.save_pretrained(tmp_path)
    again = UniMoER.from_pretrained(tmp_path, device="cpu", dtype="float32")
    same(before, everything(again))


@pytest.mark.slow
def test_what_was_removed_may_come_again(model: UniMoER) -> None:
    before = everything(model)
    for task in ("legal", "other"):
        model.remove_task(task)
    model.remove_expert("law")
    model.add_expert("law", EXPERTS["law"])  # silent now, under the name of a trained one
    model.add_task(replace(OTHER, experts=("law",)))
    same(before, everything(model))
    assert (model.score(TEXTS[0], TEXTS, task="other", logits=True) == 0).all()


def test_what_cannot_be_removed(backbone_path) -> None:
    model = new(backbone_path("bert"))
    with pytest.raises(InputError, match="'law' is named by the tasks 'legal', 'other'"):
        model.remove_expert("law")
    with pytest.raises(InputError, match="no expert 'lawn': it has shared, embed"):
        model.remove_expert("lawn")
    with pytest.raises(InputError, match="no task 'law'"):
        model.remove_task("law")
    assert "law" in model.experts


# -- merging --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", ["concat", "svd"])
def test_merging_leaves_the_others_bit_identical(model: UniMoER, method, tmp_path) -> None:
    before = everything(model)
    merge_experts(
        model, ["law", "tax"], into="both", method=method, rank=4 if method == "svd" else None
    )
    same(before, everything(model))
    assert model.task("legal").experts == ("both",)
    assert model.task("other").experts == ("both", "shared")
    assert "law" not in model.experts
    model.save_pretrained(tmp_path)
    same(before, everything(UniMoER.from_pretrained(tmp_path, device="cpu", dtype="float32")))


@torch.no_grad()
def deltas(model: UniMoER, factors: dict[str, float]) -> dict[str, torch.Tensor]:
    """What experts add to each weight, in float64."""
    found = {}
    for name, layer in model.routed_layers().items():
        found[name] = torch.zeros_like(layer.base.weight, dtype=torch.float64)
        for expert, factor in factors.items():
            if expert in layer.lora_A:
                product = layer.lora_B[expert].double() @ layer.lora_A[expert].double()
                found[name] += factor * model.experts[expert].scale * product
    return found


def test_concat_is_exact_bit_for_bit(backbone_path) -> None:
    model = new(backbone_path("bert"))  # a hard switch: both experts act in full
    before = legal(model)
    error = merge_experts(model, ["law", "tax"], into="both")
    assert error < 1e-6
    # The experts' scales are powers of two: even the rounding is the same.
    assert torch.equal(legal(model), before)
    assert model.experts["both"].rank == 6


@pytest.mark.parametrize("weights", [None, (0.3, -1.7), (0.0, 2.0)])
def test_concat_is_the_weighted_sum(backbone_path, weights) -> None:
    model = new(backbone_path("bert"), "per-layer")
    factors = dict(zip(("law", "tax"), weights or (1, 1), strict=True))
    wanted = deltas(model, factors)
    error = merge_experts(model, ["law", "tax"], into="both", weights=weights)
    assert error < 1e-6
    for name, found in deltas(model, {"both": 1.0}).items():
        torch.testing.assert_close(found, wanted[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 4, 6])
def test_svd_is_the_nearest_of_its_rank(backbone_path, rank) -> None:
    model = new(backbone_path("bert"))
    wanted = deltas(model, {"law": 0.5, "tax": 1.0})
    error = merge_experts(
        model, ["law", "tax"], into="both", weights=(0.5, 1.0), method="svd", rank=rank
    )
    off = norm = 0.0
    for name, found in deltas(model, {"both": 1.0}).items():
        u, s, v = torch.linalg.svd(wanted[name])  # of the full matrix: another way than ours
        best = u[:, :rank] * s[:rank] @ v[:rank]
        torch.testing.assert_close(found, best, atol=1e-5, rtol=1e-4)
        off += float((found - wanted[name]).square().sum())
        norm += float(wanted[name].square().sum())
    assert error == pytest.approx((off / norm) ** 0.5, abs=1e-6)
    assert (error < 1e-6) == (rank == 6)


def test_linear_is_pefts_combination(backbone_path) -> None:
    model = new(backbone_path("bert"))
    kept = {
        name: [layer.lora_A["law"], layer.lora_B["law"], layer.lora_A["tax"], layer.lora_B["tax"]]
        for name, layer in model.routed_layers().items()
    }
    wanted = deltas(model, {"law": 0.5, "tax": 1.0})
    error = merge_experts(model, ["law", "tax"], into="both", weights=(0.5, 1.0), method="linear")
    off = norm = 0.0
    for name, found in deltas(model, {"both": 1.0}).items():
        a1, b1, a2, b2 = (p.detach().double() for p in kept[name])
        # Scales 2 and 4, times the weights: 1 and 4, whose roots are 1 and 2.
        torch.testing.assert_close(found, (b1 + 2 * b2) @ (a1 + 2 * a2), atol=1e-5, rtol=1e-5)
        off += float((found - wanted[name]).square().sum())
        norm += float(wanted[name].square().sum())
    assert error == pytest.approx((off / norm) ** 0.5, rel=1e-5)
    assert error > 0.1  # it is no sum of the two, and says so


def test_experts_of_different_places_merge_into_all_of_them(backbone_path) -> None:
    model = new(backbone_path("bert"))
    model.add_expert("low", ExpertSpec(2, 4, layers=(0,)))
    model.add_expert("high", ExpertSpec(1, 4, layers=(1, 2), targets=("query",)))
    randomise(model, seed=3)
    wanted = deltas(model, {"low": 1.0, "high": 2.0})
    assert merge_experts(model, ["low", "high"], into="both", weights=(1.0, 2.0)) < 1e-6
    assert model.experts["both"].layers == (0, 1, 2)
    assert model.experts["both"].targets == ()
    for name, found in deltas(model, {"both": 1.0}).items():
        torch.testing.assert_close(found, wanted[name], atol=1e-6, rtol=1e-5)


def test_the_router_starts_from_the_mean(backbone_path) -> None:
    model = new(backbone_path("bert"), "per-layer")
    weight = model.router.weight.detach().clone()
    at = [list(model.experts).index(name) for name in ("law", "tax")]
    merge_experts(model, ["law", "tax"], into="both", weights=(1.0, 3.0))
    wanted = 0.25 * weight[:, at[0]] + 0.75 * weight[:, at[1]]
    torch.testing.assert_close(model.router.weight[:, -1].detach(), wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["law"], {}, "expected two or more different experts"),
        (["law", "law"], {}, "expected two or more different experts"),
        (["law", "lawn"], {}, "no expert 'lawn'"),
        (["law", "tax"], {"into": "read"}, "'read' exists already"),
        (["law", "tax"], {"weights": (1.0,)}, "expected a number each"),
        (["law", "tax"], {"weights": (1.0, float("nan"))}, "expected a number each"),
        (["law", "tax"], {"method": "mean"}, "unknown method 'mean'"),
        (["law", "tax"], {"method": "svd"}, "from 1 to 6"),
        (["law", "tax"], {"method": "svd", "rank": 7}, "from 1 to 6"),
        (["law", "tax"], {"rank": 2}, "which gives 6"),
        (["law", "read"], {"method": "linear"}, "matrices of one rank"),
    ],
)
def test_what_cannot_be_merged(backbone_path, names, options, message) -> None:
    model = new(backbone_path("bert"))
    before = everything(model)
    with pytest.raises(InputError, match=message):
        merge_experts(model, names, **{"into": "both", **options})
    assert list(model.experts) == list(EXPERTS)
    same(before, everything(model))
