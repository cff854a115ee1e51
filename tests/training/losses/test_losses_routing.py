"""The routing loss against loops and hand-made routings."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unimoer_rag.model import States
from unimoer_rag.model.routers import Decision
from unimoer_rag.training.losses import Routing, load_balance
from unimoer_rag.training.losses.routing import product_balance, routed_balance

ALLOWED = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])


def _routing(n_layers: int, n: int = 1, seed: int = 3) -> list[Tensor]:
    """Weights of layers over three rows, each within what its row may use, some exactly 0."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for _ in range(n_layers):
        raw = torch.rand((3, n, 3), generator=generator) * ALLOWED.unsqueeze(1)
        raw[raw < 0.3] = 0.0
        raw[:, :, 1] += 0.1
        layers.append(raw / raw.sum(-1, keepdim=True))
    return layers


def test_balance_is_one_when_rows_use_their_experts_evenly() -> None:
    allowed = torch.tensor([[True, True, False], [True, True, True]])
    weights = torch.tensor([[[0.5, 0.5, 0.0]], [[1 / 3, 1 / 3, 1 / 3]]])
    assert load_balance([weights, weights], allowed).item() == pytest.approx(1.0)


def _loads(layer: Tensor) -> list[float]:
    loads = []
    for expert in range(3):
        rows = [r for r in range(3) if ALLOWED[r, expert]]
        share = sum(layer[r, :, expert].mean().item() * int(ALLOWED[r].sum()) for r in rows)
        loads.append(share / len(rows))
    return loads


def test_balance_follows_its_formula() -> None:
    layers = _routing(4)
    expected = sum(sum(x * x for x in _loads(layer)) / 3 / len(layers) for layer in layers)
    assert load_balance(layers, ALLOWED).item() == pytest.approx(expected, rel=1e-5)


def test_balance_counts_collapse_and_pushes_against_it() -> None:
    allowed = torch.ones((2, 2), dtype=torch.bool)
    collapsed = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert load_balance([collapsed], allowed).item() == pytest.approx(2.0)
    # Rows that specialise in different experts use both evenly.
    assert load_balance([torch.eye(2).unsqueeze(1)], allowed).item() == pytest.approx(1.0)
    leaning = torch.tensor([[[0.8, 0.2]], [[0.7, 0.3]]], requires_grad=True)
    load_balance([leaning], allowed).backward()  # type: ignore[no-untyped-call]
    assert leaning.grad is not None
    assert bool((leaning.grad[..., 0] > leaning.grad[..., 1]).all())
    # f_i / rows, the loads f being (1.5, 0.5): one of the two factors alone has a gradient.
    assert leaning.grad.flatten().tolist() == pytest.approx([0.75, 0.25, 0.75, 0.25])


def test_layers_may_hold_different_experts() -> None:
    """The second layer lacks the third expert, the last layer has none at all."""
    full = _routing(1)[0]
    first = torch.ones((3, 3), dtype=torch.bool)
    without = first & torch.tensor([True, True, False])
    none = torch.zeros((3, 3), dtype=torch.bool)
    halves = torch.tensor([0.5, 0.5, 0.0]).expand(3, 1, 3)
    layers = [full, halves, torch.zeros(3, 1, 3)]
    got = load_balance(layers, torch.stack([first, without, none]))
    alone = load_balance([full], first).item()
    assert got.item() == pytest.approx((alone + 1.0 + 0.0) / 3, rel=1e-6)


def test_padding_has_no_say() -> None:
    """A batch padded to four tokens gives what its rows give one by one."""
    lengths = (4, 2, 1)
    mask = torch.arange(4) < torch.tensor(lengths).unsqueeze(1)
    (weights,) = _routing(1, n=4)
    garbage = ~mask.unsqueeze(-1)
    torn = weights.masked_fill(garbage, 0.9)
    means = torch.stack([weights[r, :n].mean(0) for r, n in enumerate(lengths)])
    expected = load_balance([means.unsqueeze(1)], ALLOWED).item()
    assert load_balance([torn], ALLOWED, mask=mask).item() == pytest.approx(expected, rel=1e-5)


def test_routed_balance_is_ld_moles_formula() -> None:
    """By the steps of its code: counts of weights above 0 over all counts, times mean weights."""
    layers = _routing(4)
    allowed = torch.ones((3, 3), dtype=torch.bool)
    expected = 0.0
    for layer in layers:
        rows = layer[:, 0].tolist()
        counts = [sum(row[e] > 0 for row in rows) for e in range(3)]
        means = [sum(row[e] for row in rows) / 3 for e in range(3)]
        expected += 3 * sum(c / sum(counts) * m for c, m in zip(counts, means, strict=True)) / 4
    assert routed_balance(layers, allowed).item() == pytest.approx(expected, rel=1e-5)
    # Where every row uses every expert it says nothing.
    leaning = torch.tensor([[[0.8, 0.2]], [[0.7, 0.3]]], requires_grad=True)
    loss = routed_balance([leaning], torch.ones((2, 2), dtype=torch.bool))
    assert loss.item() == pytest.approx(1.0)


def test_product_balance_is_moles_formula() -> None:
    allowed = torch.ones((2, 2), dtype=torch.bool)
    leaning = torch.tensor([[[0.8, 0.2]], [[0.7, 0.3]]], requires_grad=True)
    loss = product_balance([leaning], allowed)
    assert loss.item() == pytest.approx(-math.log(1.5 * 0.5), rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert leaning.grad is not None
    # -1 / load, over two rows and times two experts: towards the silent one.
    assert leaning.grad.flatten().tolist() == pytest.approx([-2 / 3, -2.0] * 2)
    even = torch.full((2, 1, 2), 0.5)
    assert product_balance([even], allowed).item() == pytest.approx(0.0)
    # An expert that no row may use is not asked for anything.
    first = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    only = torch.tensor([[True, False], [True, False]])
    assert product_balance([first], only).item() == pytest.approx(0.0)


def test_the_form_of_the_balance_is_a_key() -> None:
    states = States(torch.empty(0), ("a", "b"), [Decision(w) for w in _routing(2)])
    mask = torch.ones((3, 1), dtype=torch.bool)
    for form, function in (
        ("share", load_balance), ("routed", routed_balance), ("product", product_balance),
    ):  # fmt: skip
        found = Routing.model_validate({"balance": 0.5, "balance_by": form}).losses(
            states, ALLOWED, mask
        )
        assert found["balance"].item() == pytest.approx(
            0.5 * function(states.weights, ALLOWED, mask=mask).item()
        )
