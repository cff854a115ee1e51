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

from unimoer_rag.training.losses import cprd, kl, margin_mse


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


# -- kl ----------------------------------------------------------------------------------------


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


# -- margin-mse --------------------------------------------------------------------------------


def test_margin_mse_by_loop() -> None:
    logits, teacher = _random(5), _random(5, seed=1)
    for positive in (0, 3):
        errors = [
            ((logits[positive] - logits[j]) - (teacher[positive] - teacher[j])).item() ** 2
            for j in range(5)
            if j != positive
        ]
        got = margin_mse(logits, teacher, positive)
        assert got.item() == pytest.approx(sum(errors) / 4, rel=1e-12)


def test_margin_mse_forgets_offsets_but_not_scale() -> None:
    teacher = _random(5)
    assert margin_mse(teacher + 7.0, teacher).item() == pytest.approx(0.0, abs=1e-12)
    assert margin_mse(2 * teacher, teacher).item() > 0.1


# -- cprd --------------------------------------------------------------------------------------


def _cprd_by_hand(
    logits: list[float], teacher: list[float], positive: int, threshold: float
) -> float:
    negatives = sorted((j for j in range(len(logits)) if j != positive), key=lambda j: -teacher[j])
    valid = [j for j in negatives if teacher[j] > threshold]
    total = 0.0
    for place, j in enumerate(valid):
        z = sum(math.exp(logits[k]) for k in negatives[place:])
        total -= math.log(math.exp(logits[j]) / z)
    return total / max(len(valid), 1)


@pytest.mark.parametrize("positive", [0, 2])
@pytest.mark.parametrize("threshold", [-math.inf, 0.0, 0.5, math.inf])
def test_cprd_by_loop(positive: int, threshold: float) -> None:
    logits, teacher = _random(7), _random(7, seed=1)
    got = cprd(logits, teacher, positive, threshold=threshold)
    expected = _cprd_by_hand(logits.tolist(), teacher.tolist(), positive, threshold)
    assert got.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_cprd_by_hand() -> None:
    # The teacher's order of the negatives is 2, 1; the answer takes no part.
    got = cprd(torch.tensor([9.0, 1.0, 1.0]), torch.tensor([-3.0, 0.0, 5.0]), threshold=1.0)
    assert got.item() == pytest.approx(math.log(2))


def test_cprd_reads_only_the_teachers_order() -> None:
    logits, teacher = _random(6), _random(6, seed=1)
    assert cprd(logits, teacher).item() == cprd(logits, teacher.exp() * 40).item()


def test_cprd_leaves_the_order_of_easy_negatives_and_the_answer_alone() -> None:
    teacher = torch.tensor([9.0, 3.0, -2.0, -5.0])
    logits = torch.tensor([0.0, 2.0, 1.0, 1.5], dtype=torch.float64)
    value, gradient = _gradient(lambda x: cprd(x, teacher, threshold=0.0), logits)
    swapped = logits[[0, 1, 3, 2]]
    assert cprd(swapped, teacher, threshold=0.0).item() == pytest.approx(value, rel=1e-12)
    assert gradient[0] == 0
    assert gradient[1] < 0
    assert bool((gradient[2:] > 0).all())


# -- all of them -------------------------------------------------------------------------------

TAUGHT: list[Callable[[Tensor, Tensor], Tensor]] = [_kl2, margin_mse, cprd]


@pytest.mark.parametrize("loss", TAUGHT)
def test_gradients_are_true(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    teacher = _random(5, seed=1)
    assert torch.autograd.gradcheck(
        lambda x: loss(x, teacher), (_random(5, seed=3).requires_grad_(),)
    )


@pytest.mark.parametrize("loss", TAUGHT)
def test_a_candidate_alone_teaches_nothing(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    value, gradient = _gradient(lambda x: loss(x, torch.tensor([5.0])), torch.tensor([-2.0]))
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("loss", TAUGHT)
def test_large_logits_stay_finite(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    teacher = torch.tensor([2.0, 1.0, 0.0, -1.0])
    for sign in (1, -1):
        value, gradient = _gradient(
            lambda x: loss(x, teacher), sign * torch.tensor([1e8, 1e4, 0.0, -1e8])
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
    first = int((order == 0).nonzero())
    for loss in TAUGHT:
        value = loss(logits, teacher).item()
        assert value >= -1e-12
        assert loss(logits + shift, teacher).item() == pytest.approx(value, abs=1e-9)
        assert loss(logits, teacher + shift).item() == pytest.approx(value, abs=1e-9)
    assert kl(logits[order], teacher[order], temperature=1.0).item() == pytest.approx(
        kl(logits, teacher, temperature=1.0).item(), abs=1e-9
    )
    for grouped in (margin_mse, cprd):
        assert grouped(logits[order], teacher[order], first).item() == pytest.approx(
            grouped(logits, teacher).item(), abs=1e-9
        )
