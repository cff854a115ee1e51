"""Ranking losses against loops and their gradients in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unimoer_rag.training.losses import bce, lce

_logits = st.lists(st.floats(-8, 8, allow_subnormal=False), min_size=2, max_size=7, unique=True)


def _random(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[float, Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits)
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return value.item(), logits.grad


# -- lce ---------------------------------------------------------------------------------------


def test_lce_by_hand() -> None:
    # Two equal logits share the probability; a third, infinitely below, takes none.
    assert lce(torch.tensor([1.0, 1.0, -1e4])).item() == pytest.approx(math.log(2))
    assert lce(torch.tensor([0.0, 3.0]), positive=1).item() == pytest.approx(
        math.log(1 + math.exp(-3))
    )


def test_lce_gradient_is_the_softmax_less_the_answer() -> None:
    logits = _random(5)
    _, gradient = _gradient(lambda x: lce(x, positive=2), logits)
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum()
    assert np.abs(gradient.numpy() - (p - np.eye(5)[2])).max() < 1e-12


# -- bce ---------------------------------------------------------------------------------------


def test_bce_weighs_the_positive_like_all_negatives_together() -> None:
    logits = torch.tensor([0.4, -1.0, 2.0, 0.3])
    positive = math.log1p(math.exp(-0.4))
    negatives = [math.log1p(math.exp(x)) for x in (-1.0, 2.0, 0.3)]
    got = bce(logits, torch.tensor([1, 0, 0, 0]))
    assert got.item() == pytest.approx((positive + sum(negatives) / 3) / 2)


def test_bce_of_grades_by_loop() -> None:
    logits, labels = _random(6), torch.tensor([1.0, 0.75, 0.25, 0.0, 1.0, 0.0])
    relevant = irrelevant = 0.0
    for s, y in zip(logits.tolist(), labels.tolist(), strict=True):
        relevant += y * math.log1p(math.exp(-s))
        irrelevant += (1 - y) * math.log1p(math.exp(s))
    assert bce(logits, labels).item() == pytest.approx(relevant / 3 / 2 + irrelevant / 3 / 2)


def test_bce_of_one_side_alone() -> None:
    assert bce(torch.tensor([2.0]), torch.ones(1)).item() == pytest.approx(
        0.5 * math.log1p(math.exp(-2))
    )
    assert bce(torch.tensor([2.0, 0.0]), torch.zeros(2)).item() == pytest.approx(
        0.25 * (math.log1p(math.exp(2)) + math.log(2))
    )


# -- all of them -------------------------------------------------------------------------------


def test_gradients_are_true() -> None:
    labels = torch.tensor([1.0, 0.0, 0.5, 0.0, 0.25])
    assert torch.autograd.gradcheck(
        lambda x: bce(x, labels), (_random(5, seed=3).requires_grad_(),)
    )


def test_lce_of_a_positive_alone_is_zero() -> None:
    value, gradient = _gradient(lce, torch.tensor([3.0]))
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("scale", [1e4, 1e8])
def test_large_logits_stay_finite_and_pull_the_right_way(scale: float) -> None:
    labels = torch.tensor([1.0, 0.0, 0.0])
    logits = scale * torch.tensor([-1.0, 1.0, 0.5])
    value, gradient = _gradient(lambda x: bce(x, labels), logits)
    assert math.isfinite(value)
    assert value > scale / 100
    assert gradient[0] < 0
    assert bool((gradient[1:] > 0).all())
    right, gradient = _gradient(lambda x: bce(x, labels), -logits)
    assert right == pytest.approx(0.0, abs=1e-6)
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(values=_logits, shift=st.floats(-5, 5), data=st.data())
def test_properties_of_ranking_losses(
    values: list[float], shift: float, data: st.DataObject
) -> None:
    n = len(values)
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))) / 3
    order = torch.tensor(data.draw(st.permutations(range(n))))
    logits = torch.tensor(values, dtype=torch.float64)
    value = bce(logits, labels).item()
    # Bounded below, blind to the order of candidates.
    assert value >= 0
    assert bce(logits[order], labels[order]).item() == pytest.approx(value, abs=1e-9)
    assert lce(logits + shift).item() == pytest.approx(lce(logits).item(), abs=1e-9)
    # A better answer costs less.
    better = logits.clone()
    best = int(labels.argmax())
    better[best] += 1
    assert lce(better, positive=best) < lce(logits, positive=best)
