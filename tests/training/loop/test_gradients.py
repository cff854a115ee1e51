"""Gradients of several objectives: PCGrad, CAGrad, cosines, and what is left of the rest."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor, nn

from unimoer_rag.training.loop.gradients import ROUTING, Gradients, by_group, cagrad, pcgrad

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, n: int, width: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator, dtype=torch.float64)


# -- PCGrad ---------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(2, 4))
def test_pcgrad_equals_an_independent_computation(seed: int, n: int) -> None:
    gradients = drawn(seed, n)
    found = pcgrad(gradients, seed=seed).numpy()
    rng, g = random.Random(seed), gradients.numpy()
    total = np.zeros(g.shape[1])
    for i in range(n):
        order = [j for j in range(n) if j != i]
        rng.shuffle(order)
        own = g[i].copy()
        for j in order:
            own -= min(own @ g[j], 0) / (g[j] @ g[j]) * g[j]
        total += own
    np.testing.assert_allclose(found, total, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_pcgrad_leaves_no_conflict_of_two(seed: int) -> None:
    gradients = drawn(seed, 2)
    for own, other in itertools.permutations(gradients):
        freed = pcgrad(torch.stack([own, other]), seed=0) - _freed(other, own)
        assert float(freed @ other) >= -1e-12
    if float(gradients[0] @ gradients[1]) >= 0:
        torch.testing.assert_close(pcgrad(gradients, seed=0), gradients.sum(0))


def _freed(gradient: Tensor, other: Tensor) -> Tensor:
    return gradient - min(float(gradient @ other), 0.0) / float(other @ other) * other


# -- CAGrad ---------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 5), st.sampled_from([0.1, 0.4, 0.9]))
def test_cagrad_equals_scipys_solution_of_the_dual(seed: int, n: int, c: float) -> None:
    g = drawn(seed, n).numpy()
    g0 = g.mean(0)
    radius = c * np.linalg.norm(g0)

    def dual(w: np.ndarray) -> float:
        return float(w @ g @ g0 + radius * np.linalg.norm(w @ g))

    solved = min(
        (
            minimize(
                dual, start, method="SLSQP", bounds=[(0, 1)] * n, options={"ftol": 1e-14},
                constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            )
            for start in (np.full(n, 1 / n), *(0.8 * np.eye(n) + 0.2 / n))
        ),
        key=lambda s: s.fun,
    )  # fmt: skip
    found = cagrad(torch.from_numpy(g), c=c).numpy()
    # Strong duality: the dual's least value is the worst-off objective's gain.
    assert (g @ found).min() == pytest.approx(solved.fun, abs=1e-6 * max(1.0, abs(solved.fun)))
    assert np.linalg.norm(found - g0) <= radius * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 5))
def test_cagrad_is_the_mean_at_zero_and_never_worse_for_the_worst(seed: int, n: int) -> None:
    gradients = drawn(seed, n)
    torch.testing.assert_close(cagrad(gradients, c=0.0), gradients.mean(0))
    worst = (gradients @ gradients.mean(0)).min()
    assert float((gradients @ cagrad(gradients)).min()) >= float(worst) - 1e-9


def test_cagrad_of_one_gradient_twice_and_of_nothing() -> None:
    gradient = drawn(0, 1)
    twice = torch.cat([gradient, gradient])
    torch.testing.assert_close(cagrad(twice, c=0.4), 1.4 * gradient[0])
    assert not cagrad(torch.zeros(3, 4)).any()


# -- a step's gradients ---------------------------------------------------------------------

NAMED = {
    "experts.shared.layer.0.query.lora_A.weight": 3,
    "experts.a.layer.0.query.lora_A.weight": 3,
    "experts.shared.layer.1.query.lora_A.weight": 4,
    "heads.b.out": 2,
    "router.gate": 2,
}


@pytest.fixture
def named() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    return {name: nn.Parameter(torch.randn(n)) for name, n in NAMED.items()}


def losses(named: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Two objectives that share two experts' layers, and a regulariser."""
    first, own, second, head, gate = named.values()
    a = (first * torch.tensor([1.0, -2.0, 0.5])).sum() + own.square().sum() + second.sum()
    b = (first * torch.tensor([-1.0, 1.0, 1.0])).sum() - 2 * second[0] + head.square().sum()
    return {"a/x": a, "a/y": (second * gate[0]).sum(), "b/z": b, "routing/balance": gate.sum()}


def settled(named: dict[str, nn.Parameter], how: str) -> dict[str, Tensor]:
    gradients = Gradients(named, apart=True)
    for _ in range(2):  # micro-steps add up
        gradients.add(by_group({n: v / 2 for n, v in losses(named).items()}))
    gradients.settle(how, seed=3)  # type: ignore[arg-type]
    return {name: p.grad.clone() for name, p in named.items() if p.grad is not None}


def of(named: dict[str, nn.Parameter], group: str) -> dict[str, Tensor]:
    """The gradient of one group, by autograd directly."""
    loss = by_group(losses(named))[group]
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {n: g for n, g in zip(named, found, strict=True) if g is not None}


def test_kept_apart_they_sum_to_what_one_backward_gives(named: dict[str, nn.Parameter]) -> None:
    apart = settled(named, "sum")
    for parameter in named.values():
        parameter.grad = None
    together = Gradients(named, apart=False)
    together.add(by_group(losses(named)))
    together.settle("sum", seed=0)
    assert apart.keys() == named.keys()
    for name, parameter in named.items():
        assert parameter.grad is not None
        torch.testing.assert_close(apart[name], parameter.grad)


@pytest.mark.parametrize("how", ["pcgrad", "cagrad"])
def test_conflicts_are_settled_where_objectives_meet(
    how: str, named: dict[str, nn.Parameter]
) -> None:
    found = settled(named, how)
    a, b, routing = of(named, "a"), of(named, "b"), of(named, ROUTING)
    first, own, second, head, gate = NAMED
    rows = torch.stack([torch.cat([g[first], g[second]]) for g in (a, b)])
    expected = pcgrad(rows, seed=3) if how == "pcgrad" else 2 * cagrad(rows)
    torch.testing.assert_close(torch.cat([found[first], found[second]]), expected)
    torch.testing.assert_close(found[own], a[own])
    torch.testing.assert_close(found[head], b[head])
    torch.testing.assert_close(found[gate], a[gate] + routing[gate])


def test_cosines_are_of_what_two_objectives_share_in_a_layer(
    named: dict[str, nn.Parameter],
) -> None:
    gradients = Gradients(named, apart=True)
    gradients.add(by_group(losses(named)))
    cosines, norms = gradients.similarity()
    a, b = of(named, "a"), of(named, "b")
    first, own, second, *_ = NAMED
    expected = {
        place: {"a|b": float(torch.cosine_similarity(a[n], b[n], dim=0))}
        for place, n in (("0", first), ("1", second))
    }
    assert cosines.keys() == expected.keys()
    for place, value in expected.items():
        assert cosines[place] == pytest.approx(value, abs=1e-5)
    whole = torch.cat([a[first], a[own]]).norm()
    assert norms["0"]["a"] == pytest.approx(float(whole), rel=1e-4)
    assert norms["heads"].keys() == {"b"}
    assert norms["router"].keys() == {"a"}


def test_a_loss_that_reaches_nothing_is_no_error(named: dict[str, nn.Parameter]) -> None:
    for apart in (True, False):
        gradients = Gradients(named, apart=apart)
        gradients.add({"a": torch.zeros(())})
        gradients.settle("pcgrad", seed=0)
        assert all(p.grad is None for p in named.values())
        assert gradients.similarity() == ({}, {})
