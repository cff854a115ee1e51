"""Distillation losses against loops, torch's divergence and their gradients in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from unimoer_rag.training.losses import Candidates, Correction, kl, lce


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[float, Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits)
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return value.item(), logits.grad


def _kl2(logits: Tensor, teacher: Tensor) -> Tensor:
    return kl(logits, teacher, temperature=2.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_kl_equals_torchs_divergence(temperature: float) -> None:
    logits, teacher = _random(3, 6), _random(3, 6, seed=1)
    expected = functional.kl_div(
        (logits / temperature).log_softmax(-1),
        (teacher / temperature).log_softmax(-1),
        log_target=True,
        reduction="batchmean",
    )
    got = kl(logits, teacher, temperature=temperature)
    assert got.item() == pytest.approx(expected.item() * temperature**2, rel=1e-12)


def test_kl_gradient_is_the_temperature_times_the_difference() -> None:
    logits, teacher = _random(5), _random(5, seed=1)
    _, gradient = _gradient(lambda x: kl(x, teacher, temperature=3.0), logits)
    p, t = (np.exp(x.numpy() / 3) / np.exp(x.numpy() / 3).sum() for x in (logits, teacher))
    assert np.abs(gradient.numpy() - 3.0 * (p - t)).max() < 1e-12


def test_kl_is_zero_at_equality_and_pulls_nowhere() -> None:
    teacher = _random(4, 7)
    value, gradient = _gradient(lambda x: kl(x, teacher, temperature=2.0), teacher)
    assert value == pytest.approx(0.0, abs=1e-12)
    assert gradient.abs().max().item() < 1e-12
    assert kl(teacher * 2, teacher, temperature=2.0).item() > 0.01


def test_kl_takes_masked_candidates() -> None:
    teacher = torch.tensor([[1.0, 0.0, -1e5]])
    value, gradient = _gradient(
        lambda x: kl(x, teacher, temperature=1.0), torch.tensor([[0.0, 1.0, -1e5]])
    )
    p = 1 / (1 + math.exp(-1))
    assert value == pytest.approx(p * 1 + (1 - p) * -1, rel=1e-5)
    assert bool(torch.isfinite(gradient).all())


def test_a_correction_starts_as_the_teacher_and_is_held_there() -> None:
    scores = (0.5, 2.0, -1.0)
    teacher = torch.tensor(scores)
    free = Correction(hold=0.0)
    group = Candidates(torch.zeros(3), scores)
    # Nothing learnt yet: the labels' cross entropy of the teacher itself, whatever holds it.
    assert free.loss(group).item() == pytest.approx(lce(teacher).item())
    assert Correction(hold=9.0).loss(group).item() == pytest.approx(lce(teacher).item())
    value, gradient = _gradient(
        lambda x: free.loss(Candidates(x, scores)), torch.tensor([1.0, -1.0, 0.0])
    )
    assert value == pytest.approx(lce(teacher + torch.tensor([1.0, -1.0, 0.0])).item())
    assert gradient[0] < 0 < gradient[1]
    moved = Candidates(torch.tensor([1.0, -1.0, 0.0]), scores)
    held = (Correction(hold=2.0).loss(moved) - free.loss(moved)).item()
    expected = 2 * kl(teacher + moved.logits, teacher, temperature=1.0).item()
    assert held == pytest.approx(expected, rel=1e-5)


def test_gradients_are_true() -> None:
    teacher = _random(5, seed=1)
    assert torch.autograd.gradcheck(
        lambda x: _kl2(x, teacher), (_random(5, seed=3).requires_grad_(),)
    )


def test_a_candidate_alone_teaches_nothing() -> None:
    value, gradient = _gradient(lambda x: _kl2(x, torch.tensor([5.0])), torch.tensor([-2.0]))
    assert value == 0.0
    assert not gradient.any()


def test_large_logits_stay_finite() -> None:
    teacher = torch.tensor([2.0, 1.0, 0.0, -1.0])
    for sign in (1, -1):
        value, gradient = _gradient(
            lambda x: _kl2(x, teacher), sign * torch.tensor([1e8, 1e4, 0.0, -1e8])
        )
        assert math.isfinite(value)
        assert bool(torch.isfinite(gradient).all())


@settings(deadline=None, max_examples=60)
@given(
    pairs=st.lists(
        st.tuples(st.floats(-8, 8), st.integers(-50, 50)),
        min_size=1,
        max_size=7,
        unique_by=lambda pair: pair[1],
    ),
    shift=st.floats(-5, 5),
    data=st.data(),
)
def test_properties_of_distillation(
    pairs: list[tuple[float, int]], shift: float, data: st.DataObject
) -> None:
    logits, teacher = torch.tensor(pairs, dtype=torch.float64).T
    teacher = teacher / 5
    order = torch.tensor(data.draw(st.permutations(range(len(pairs)))))
    value = _kl2(logits, teacher).item()
    assert value >= -1e-12
    assert _kl2(logits + shift, teacher).item() == pytest.approx(value, abs=1e-9)
    assert _kl2(logits, teacher + shift).item() == pytest.approx(value, abs=1e-9)
    assert kl(logits[order], teacher[order], temperature=1.0).item() == pytest.approx(
        kl(logits, teacher, temperature=1.0).item(), abs=1e-9
    )
