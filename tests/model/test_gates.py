from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq

from unimoer_rag.model.routers.gates import GATES, MASKED, SparsegenGate, sparsegen

Vector = NDArray[np.float64]


def project(u: Vector, lam: float) -> Vector:
    """Sparsegen by its optimality condition: the threshold at which the weights sum to 1."""
    room = 1.0 - lam

    def excess(tau: float) -> float:
        return float(np.maximum(0.0, u - tau).sum() / room - 1.0)

    tau = brentq(excess, u.min() - 2 * room, u.max(), xtol=1e-15)
    return np.maximum(0.0, u - tau) / room


def objective(p: Vector, u: Vector, lam: float) -> float:
    return float(((p - u) ** 2).sum() - lam * (p**2).sum())


logits = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=8)
sparsities = st.floats(-4, 0.9375, width=32)


@given(logits, sparsities)
@settings(deadline=None)
def test_sparsegen_is_the_projection_onto_the_simplex(values: list[float], lam: float) -> None:
    u = np.array(values)
    expected = project(u, lam)
    found = sparsegen(torch.tensor(values), lam).double().numpy()
    # float32 logits of size 8 divided by 1 - lam, as small as 0.05.
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.sum() == pytest.approx(1.0, abs=2e-4)
    assert (found >= 0).all()


@given(logits, sparsities, st.integers(0, 2**16))
@settings(deadline=None, max_examples=50)
def test_no_other_point_of_the_simplex_is_better(
    values: list[float], lam: float, seed: int
) -> None:
    u = np.array(values)
    best = objective(sparsegen(torch.tensor(values), lam).double().numpy(), u, lam)
    others = np.random.default_rng(seed).dirichlet(np.ones(len(u)), size=20)
    assert all(objective(p, u, lam) >= best - 1e-2 for p in others)


@given(logits, sparsities)
@settings(deadline=None)
def test_sparsegen_is_sparsemax_of_scaled_logits(values: list[float], lam: float) -> None:
    u = torch.tensor(values)
    torch.testing.assert_close(
        sparsegen(u, lam), sparsegen(u / (1 - lam), 0.0), atol=1e-4, rtol=1e-4
    )


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6, unique=True), st.floats(-2, 0.8))
@settings(deadline=None)
def test_gradient_is_the_closed_form(values: list[float], lam: float) -> None:
    u = torch.tensor(values, requires_grad=True)
    sparsity = torch.tensor(lam, requires_grad=True)
    p = sparsegen(u, sparsity)
    tau = (u - p * (1 - lam)).max().detach()
    assume(bool(((u.detach() - tau).abs() > 1e-3).all()))  # not at a kink
    s = (p > 0).float().detach()
    k = s.sum()
    du = torch.stack([torch.autograd.grad(x, u, retain_graph=True)[0] for x in p])
    dlam = torch.stack([torch.autograd.grad(x, sparsity, retain_graph=True)[0] for x in p])
    torch.testing.assert_close(
        du, (torch.diag(s) - torch.outer(s, s) / k) / (1 - lam), atol=1e-4, rtol=1e-4
    )
    expected = s * (p.detach() - 1 / k) / (1 - lam)
    torch.testing.assert_close(dlam, expected, atol=2e-3, rtol=1e-3)


def test_gradient_agrees_with_finite_differences() -> None:
    u, lam, step = np.array([0.9, 0.4, 0.35, -1.0]), 0.2, 1e-6
    parameter = torch.tensor(u, dtype=torch.float32, requires_grad=True)
    sparsity = torch.tensor(lam, requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0])
    (sparsegen(parameter, sparsity) * weights).sum().backward()

    def value(at: Vector, lam_at: float) -> float:
        return float(project(at, lam_at) @ weights.double().numpy())

    for i in range(len(u)):
        shift = step * np.eye(len(u))[i]
        slope = (value(u + shift, lam) - value(u - shift, lam)) / (2 * step)
        assert parameter.grad is not None
        assert float(parameter.grad[i]) == pytest.approx(slope, abs=1e-4)
    slope = (value(u, lam + step) - value(u, lam - step)) / (2 * step)
    assert sparsity.grad is not None
    assert float(sparsity.grad) == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_exactly_k_are_active_inside_the_stated_interval(k: int) -> None:
    u = torch.tensor([1.0, 0.7, 0.3, -0.2])
    cumulative = float(u[:k].sum())
    low, high = 1 - (cumulative - k * float(u[k])), 1 - (cumulative - k * float(u[k - 1]))
    for lam in np.linspace(low + 1e-3, min(high, 0.999) - 1e-3, 7):
        assert int((sparsegen(u, float(lam)) > 0).sum()) == k
    assert int((sparsegen(u, low - 1e-3) > 0).sum()) == k + 1


def test_leading_axes_are_left_alone() -> None:
    u, lam = torch.randn(2, 3, 5), torch.rand(2, 3)
    whole = sparsegen(u, lam)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(whole[i, j], sparsegen(u[i, j], float(lam[i, j])))


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_gives_a_point_of_the_simplex(gate: str) -> None:
    module = GATES[gate](16)
    for n in (1, 2, 5):
        logits = torch.randn(3, 2, n)
        decision = module(logits, torch.randn(3, 2, 16))
        assert decision.weights.dtype == torch.float32
        assert (decision.weights >= 0).all()
        assert decision.logits is logits
        total = decision.weights.sum(-1)
        if gate == "tsallis":  # what it cuts off goes to nobody
            assert (total <= 1 + 1e-6).all()
        else:
            torch.testing.assert_close(total, torch.ones(3, 2))


def dynmole(logits: list[float]) -> list[float]:
    """DynMoLE's rule for one token, in loops."""
    top = max(logits)
    exp = [math.exp(u - top) for u in logits]
    p = [e / sum(exp) for e in exp]
    n, q = len(p), 1.1
    if n == 1:
        return p
    entropy = (1 - sum(x**q for x in p)) / (q - 1)
    if entropy / ((1 - n ** (1 - q)) / (q - 1)) > 0.9:
        return p
    kept, total = [0.0] * n, 0.0
    for place, i in enumerate(sorted(range(n), key=lambda i: -p[i])):
        total += p[i]
        if place < 2 or total <= 0.75:
            kept[i] = p[i]
    return kept


# Equal or clearly apart, in float32 as in float64: of two that nearly tie, a rounding would choose.
sixteenths = st.integers(-64, 64).map(lambda n: n / 16)


@given(st.lists(sixteenths, min_size=1, max_size=7), st.integers(0, 3))
@settings(deadline=None)
def test_tsallis_is_dynmoles_rule_over_what_a_row_may_use(values: list[float], n: int) -> None:
    expected = dynmole(values)
    masked = torch.tensor([*values, *[MASKED] * n])
    found = GATES["tsallis"](4)(masked, torch.zeros(4)).weights
    # Not at a kink, where a rounding decides.
    p = np.sort(np.exp(np.array(values)) / np.exp(np.array(values)).sum())[::-1]
    entropy = (1 - (p**1.1).sum()) / (1 - max(len(p), 2) ** -0.1)
    assume(abs(entropy - 0.9) > 1e-4)
    assume((np.abs(p.cumsum() - 0.75) > 1e-4).all())
    np.testing.assert_allclose(found[: len(values)], expected, atol=1e-5)
    assert not found[len(values) :].any()


def test_tsallis_by_hand() -> None:
    gate = GATES["tsallis"](4)

    def weights(p: list[float]) -> list[float]:
        return gate(torch.tensor(p).log(), torch.zeros(4)).weights.tolist()

    assert weights([0.25] * 4) == pytest.approx([0.25] * 4)  # even: all of them
    assert weights([0.97, 0.01, 0.01, 0.01]) == pytest.approx([0.97, 0.01, 0, 0])  # at least two
    # Entropy 0.83 of the largest: 0.5 + 0.2 stay within 0.75, and 0.15 does not.
    assert weights([0.5, 0.2, 0.15, 0.06, 0.05, 0.04]) == pytest.approx([0.5, 0.2, 0, 0, 0, 0])


def test_top_k_keeps_two_renormalised() -> None:
    weights = GATES["top-k"](4)(torch.tensor([1.0, 3.0, 2.0, -5.0]), torch.zeros(4)).weights
    assert weights.tolist()[0] == 0.0
    assert weights.tolist()[3] == 0.0
    torch.testing.assert_close(weights[1:3], torch.tensor([3.0, 2.0]).softmax(-1))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("others", [1, 2, 3, 17])
def test_equal_logits_are_weighed_alike_whatever_else_is_in_the_batch(gate, others) -> None:
    mine, masked = torch.zeros(1, 3), torch.full((1, others), MASKED)
    features, decide = torch.zeros(1, 4), GATES[gate](4)
    alone = decide(mine, features).weights
    before = decide(torch.cat([masked, mine], dim=-1), features).weights
    behind = decide(torch.cat([mine, masked], dim=-1), features).weights
    torch.testing.assert_close(before[:, others:], alone)
    torch.testing.assert_close(behind[:, :3], alone)


def test_untrained_sparsegen_starts_dense() -> None:
    gate = SparsegenGate(8)
    lam = torch.nn.functional.logsigmoid(gate.out(torch.zeros(32))) + 0.99
    assert lam.item() == pytest.approx(-1.589, abs=1e-3)
    decision = gate(torch.tensor([0.5, 0.0, -0.5]), torch.zeros(8))
    assert (decision.weights > 0).all()
    assert decision.lam.item() == pytest.approx(lam.item())
