"""Routing losses against loops, scipy, the gates themselves and hand-made routings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from unimoer_rag.model.routers.gates import sparsegen, tsallis_entropy
from unimoer_rag.training.losses import dynmole, entropy, load_balance, sparsity

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


# -- load balance ------------------------------------------------------------------------------


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
    evenness = entropy(layers, torch.stack([first, without, none])).item()
    assert evenness == pytest.approx((entropy([full], first).item() + 1.0) / 3, rel=1e-6)


# -- sparsity ----------------------------------------------------------------------------------


def _lower(u: list[float], k: int) -> float:
    """Where Sparsegen begins to leave k of the logits, LD-MoLE's equation."""
    ordered = sorted(u, reverse=True)
    return 1 - (sum(ordered[:k]) - k * ordered[k])


def test_sparsity_follows_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn((3, 2, 3), generator=generator) for _ in range(2)]
    lam = [torch.randn((3, 2), generator=generator) - 1 for _ in range(2)]
    for k in (1, 2, 3, 5):
        each = []
        for u, sparse in zip(logits, lam, strict=True):
            for row in range(3):
                for at in range(2):
                    mine = [
                        x for x, ok in zip(u[row, at].tolist(), ALLOWED[row], strict=True) if ok
                    ]
                    enough = len(mine) <= k
                    gap = 0.0 if enough else max(0.0, _lower(mine, k) - sparse[row, at].item())
                    each.append(gap)
        got = sparsity(logits, lam, ALLOWED, k=k).item()
        assert got == pytest.approx(sum(each) / len(each), rel=1e-5, abs=1e-7)


@settings(deadline=None, max_examples=60)
@given(
    u=st.lists(st.integers(-30, 30), min_size=3, max_size=6, unique=True),
    k=st.integers(1, 2),
)
def test_sparsity_is_zero_just_where_sparsegen_leaves_k(u: list[int], k: int) -> None:
    logits = torch.tensor(u) / 20
    allowed = torch.ones((1, len(u)), dtype=torch.bool)
    bound = _lower(logits.tolist(), k)
    for lam, within in ((bound + 0.01, True), (bound - 0.01, False)):
        if lam >= 1:
            continue
        n_active = int((sparsegen(logits, lam) > 0).sum())
        loss = sparsity([logits.view(1, 1, -1)], [torch.tensor([[lam]])], allowed, k=k).item()
        assert (n_active <= k) is within
        assert loss == pytest.approx(0.0 if within else 0.01, abs=1e-5)


def test_sparsity_pulls_lam_and_nothing_else() -> None:
    logits = torch.tensor([[[0.3, 0.2, 0.1]], [[5.0, 0.0, 0.0]]], requires_grad=True)
    lam = torch.full((2, 1), -1.0, requires_grad=True)
    sparsity([logits], [lam], torch.ones((2, 3), dtype=torch.bool), k=1).backward()  # type: ignore[no-untyped-call]
    # The second row is sparse already.
    assert lam.grad is not None
    assert lam.grad.flatten().tolist() == [-0.5, 0.0]
    assert logits.grad is None


def test_sparsity_asks_nothing_of_rows_with_few_experts() -> None:
    allowed = torch.tensor([[True, False, False], [True, True, False], [False, False, False]])
    lam = torch.full((3, 1), -50.0, requires_grad=True)
    loss = sparsity([torch.zeros(3, 1, 3)], [lam], allowed, k=2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert lam.grad is not None
    assert not lam.grad.any()


# -- entropy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.5, 1.0, 1.1, 2.0])
def test_entropy_by_loop(q: float) -> None:
    layers = _routing(2, n=2)
    each = []
    for layer in layers:
        for row in range(3):
            n = int(ALLOWED[row].sum())
            for p in layer[row].double().numpy():
                if q == 1.0:
                    each.append(float(stats.entropy(p)) / math.log(n))
                else:
                    most = (1 - n ** (1 - q)) / (q - 1)
                    each.append((1 - sum(x**q for x in p if x > 0)) / (q - 1) / most)
    assert entropy(layers, ALLOWED, q=q).item() == pytest.approx(np.mean(each), rel=1e-4)


def test_entropy_of_the_tsallis_gate_is_the_same() -> None:
    (layer,) = _routing(1)
    n = ALLOWED.sum(-1, keepdim=True)
    expected = tsallis_entropy(layer, n, 1.1).mean()
    assert entropy([layer], ALLOWED, q=1.1).item() == pytest.approx(expected.item(), rel=1e-4)


def test_entropy_by_hand() -> None:
    weights = torch.tensor([[[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5]]])
    for q in (0.5, 1.0, 1.1, 3.0):
        assert entropy([weights], ALLOWED, q=q).item() == pytest.approx(2 / 3, abs=1e-5)
    # q = 2 is Gini's index: 1 - 0.75^2 - 0.25^2 of at most 1/2.
    lean = torch.tensor([[[0.75, 0.25]]])
    assert entropy([lean], torch.ones((1, 2), dtype=torch.bool), q=2.0).item() == pytest.approx(
        0.75
    )


def test_entropy_of_one_expert_is_zero() -> None:
    alone = torch.tensor([[True, False]])
    for q in (1.0, 1.1):
        assert entropy([torch.tensor([[[1.0, 0.0]]])], alone, q=q).item() == 0.0


@pytest.mark.parametrize("q", [0.5, 1.0, 1.1, 2.0])
def test_entropy_has_finite_gradients_through_exact_zeros(q: float) -> None:
    logits = torch.tensor([[[5.0, 0.0, -5.0]], [[0.1, 0.0, -9.0]]], requires_grad=True)
    weights = sparsegen(logits)
    assert bool((weights == 0).any())
    entropy([weights], torch.ones((2, 3), dtype=torch.bool), q=q).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
    # The second row is nearly even; less entropy is further apart.
    assert logits.grad[1, 0, 0] < 0 < logits.grad[1, 0, 1]


@settings(deadline=None, max_examples=60)
@given(
    raw=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6),
    q=st.sampled_from([0.5, 1.0, 1.1, 2.0]),
    data=st.data(),
)
def test_entropy_is_between_its_ends_and_blind_to_order(
    raw: list[float], q: float, data: st.DataObject
) -> None:
    p = torch.tensor(raw, dtype=torch.float64)
    p = (p / p.sum()).view(1, 1, -1)
    allowed = torch.ones((1, len(raw)), dtype=torch.bool)
    value = entropy([p], allowed, q=q).item()
    assert 0 <= value <= 1 + 1e-6
    order = data.draw(st.permutations(range(len(raw))))
    assert entropy([p[..., order]], allowed, q=q).item() == pytest.approx(value, rel=1e-9)
    even = torch.full_like(p, 1 / len(raw))
    assert entropy([even], allowed, q=q).item() == pytest.approx(1.0, rel=1e-6)
    # Mixing with the even split makes it more even.
    assert entropy([(p + even) / 2], allowed, q=q).item() >= value - 1e-9


# -- dynmole -----------------------------------------------------------------------------------


def test_dynmole_follows_its_formula_where_all_is_allowed() -> None:
    """0.01 * mean H + 0.001 * N * sum(mean weight * mean probability)."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((4, 2, 3), generator=generator)
    p = logits.softmax(-1)
    weights = p * (p > 0.2)
    h = [
        ((1 - sum(x**1.1 for x in row)) / 0.1) / ((1 - 3**-0.1) / 0.1)
        for row in p.double().reshape(-1, 3).tolist()
    ]
    mean_weight = weights.reshape(-1, 3).numpy().mean(0)
    mean_p = p.reshape(-1, 3).numpy().mean(0)
    expected = 0.01 * np.mean(h) + 0.001 * 3 * float(mean_weight @ mean_p)
    allowed = torch.ones((4, 3), dtype=torch.bool)
    assert dynmole([logits], [weights], allowed).item() == pytest.approx(expected, rel=1e-5)


def test_dynmole_is_entropy_and_balance_of_what_rows_may_use() -> None:
    logits = torch.randn((3, 1, 3), generator=torch.Generator().manual_seed(2))
    p = logits.masked_fill(~ALLOWED.unsqueeze(1), -torch.inf).softmax(-1)
    (weights,) = _routing(1)
    parts = {
        name: dynmole([logits], [weights], ALLOWED, entropy_weight=a, balance_weight=b).item()
        for name, a, b in (("entropy", 1.0, 0.0), ("balance", 0.0, 1.0))
    }
    assert parts["entropy"] == pytest.approx(entropy([p], ALLOWED, q=1.1).item(), rel=1e-6)
    expected = sum(x * y for x, y in zip(_loads(weights), _loads(p), strict=True)) / 3
    assert parts["balance"] == pytest.approx(expected, rel=1e-5)


def test_dynmole_has_finite_gradients() -> None:
    logits = torch.tensor([[[80.0, 0.0, -80.0]], [[0.0, 0.0, 0.0]], [[1.0, 2.0, 3.0]]])
    logits.requires_grad_()
    weights = logits.softmax(-1) * torch.tensor([1.0, 1.0, 0.0])
    dynmole([logits], [weights], ALLOWED).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


# -- padding -----------------------------------------------------------------------------------


def test_padding_has_no_say() -> None:
    """A batch padded to four tokens gives what its rows give one by one."""
    lengths = (4, 2, 1)
    mask = torch.arange(4) < torch.tensor(lengths).unsqueeze(1)
    (weights,) = _routing(1, n=4)
    logits = torch.randn((3, 4, 3), generator=torch.Generator().manual_seed(4))
    lam = torch.randn((3, 4), generator=torch.Generator().manual_seed(5)) - 1
    garbage = ~mask.unsqueeze(-1)
    torn = weights.masked_fill(garbage, 0.9)
    wild = logits.masked_fill(garbage, 50.0)
    empty = lam.masked_fill(~mask, -99.0)
    each = [slice(at, at + 1) for at in range(3)]

    got = entropy([torn], ALLOWED, mask=mask).item()
    alone = [
        entropy([weights[r, :n]], ALLOWED[r]).item() for r, n in zip(each, lengths, strict=True)
    ]
    assert got == pytest.approx(np.mean(alone), rel=1e-5)

    got = sparsity([wild], [empty], ALLOWED, k=1, mask=mask).item()
    alone = [
        sparsity([logits[r, :n]], [lam[r, :n]], ALLOWED[r], k=1).item()
        for r, n in zip(each, lengths, strict=True)
    ]
    assert got == pytest.approx(np.mean(alone), rel=1e-5)

    means = torch.stack([weights[r, :n].mean(0) for r, n in enumerate(lengths)])
    expected = load_balance([means.unsqueeze(1)], ALLOWED).item()
    assert load_balance([torn], ALLOWED, mask=mask).item() == pytest.approx(expected, rel=1e-5)
