"""Ranking losses against double loops, another library and their gradients in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unimoer_rag.training.losses import bce, lambda_loss, lce, ranknet

LABELLED: list[Callable[[Tensor, Tensor], Tensor]] = [bce, ranknet, lambda_loss]
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


# -- ranknet -----------------------------------------------------------------------------------


def test_ranknet_by_double_loop() -> None:
    logits, labels = _random(6), torch.tensor([2, 0, 1, 1, 0, 3])
    pairs = [
        math.log1p(math.exp(logits[j].item() - logits[i].item()))
        for i in range(6)
        for j in range(6)
        if labels[i] > labels[j]
    ]
    assert ranknet(logits, labels).item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-12)


def test_ranknet_of_a_permutation_reads_minus_ranks() -> None:
    # E2Rank: log(1 + exp((s_j - s_i) / 0.1)) over pairs that the teacher ranks i above j.
    logits, ranks = torch.tensor([0.5, 0.7, 0.6]), torch.tensor([1, 2, 3])
    expected = [math.log1p(math.exp(x / 0.1)) for x in (0.2, 0.1, -0.1)]
    assert ranknet(logits / 0.1, -ranks).item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_ranknet_gradient_in_closed_form() -> None:
    logits, labels = _random(5), torch.tensor([1, 0, 2, 0, 1])
    _, gradient = _gradient(lambda x: ranknet(x, labels), logits)
    expected, pairs = np.zeros(5), 0
    for i in range(5):
        for j in range(5):
            if labels[i] > labels[j]:
                force = 1 / (1 + math.exp(logits[i].item() - logits[j].item()))
                expected[i] -= force
                expected[j] += force
                pairs += 1
    assert np.abs(gradient.numpy() - expected / pairs).max() < 1e-12


# -- lambda loss -------------------------------------------------------------------------------


def _ndcg(order: list[int], labels: Sequence[float], top: int) -> float:
    def dcg(these: Sequence[float]) -> float:
        return sum((2**y - 1) / math.log2(r + 2) for r, y in enumerate(these[:top]))

    return dcg([labels[i] for i in order]) / dcg(sorted(labels, reverse=True))


def test_lambda_gradient_is_that_of_lambdarank() -> None:
    """With mu=0 each pair pulls by what swapping it changes in nDCG."""
    logits, labels, sigma = _random(6), [3.0, 0.0, 1.0, 0.0, 2.0, 1.0], 1.7
    _, gradient = _gradient(
        lambda x: lambda_loss(x, torch.tensor(labels), sigma=sigma, mu=0.0), logits
    )
    order = logits.argsort(descending=True).tolist()
    expected, pairs = np.zeros(6), 0
    for i in range(6):
        for j in range(6):
            if labels[i] <= labels[j]:
                continue
            swapped = order.copy()
            a, b = order.index(i), order.index(j)
            swapped[a], swapped[b] = swapped[b], swapped[a]
            change = abs(_ndcg(order, labels, 6) - _ndcg(swapped, labels, 6))
            margin = logits[i].item() - logits[j].item()
            force = -sigma * change / (1 + math.exp(sigma * margin)) / math.log(2)
            expected[i] += force
            expected[j] -= force
            pairs += 1
    assert np.abs(gradient.numpy() - expected / pairs).max() < 1e-7


class _Fixed(nn.Module):
    """Stands for a cross-encoder whose scores are given."""

    num_labels = 1
    device = torch.device("cpu")

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def preprocess(self, pairs: list[Any], **_: Any) -> dict[str, Tensor]:
        assert len(pairs) == len(self.scores)
        return {}

    def forward(self, _: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": self.scores}


@pytest.mark.parametrize("top", [None, 1, 3])
@pytest.mark.parametrize("mu", [0.0, 10.0])
@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_lambda_loss_equals_that_of_sentence_transformers(
    top: int | None, mu: float, sigma: float
) -> None:
    theirs = pytest.importorskip(
        "sentence_transformers.cross_encoder.losses",
        reason="needs sentence-transformers: pip install 'unimoer-rag[baselines]'",
    )
    logits, labels = _random(7).float(), torch.tensor([2.0, 0.0, 1.0, 0.0, 3.0, 0.0, 1.0])
    oracle = theirs.LambdaLoss(
        _Fixed(logits),
        weighting_scheme=theirs.NDCGLoss2PPScheme(mu),
        k=top,
        sigma=sigma,
        mini_batch_size=-1,
    )
    expected = oracle([["q"], [list("abcdefg")]], [labels])
    got = lambda_loss(logits, labels, sigma=sigma, top=top, mu=mu)
    assert got.item() == pytest.approx(expected.item(), rel=1e-4)


def test_lambda_loss_of_two_by_hand() -> None:
    # The answer is ranked second of two: gain 1, discounts 1 and 1/log2(3), and the pair's own
    # delta is the same difference.
    swap = 1 - 1 / math.log2(3)
    expected = (10 + 1) * swap * math.log2(1 + math.exp(0.5))
    got = lambda_loss(torch.tensor([0.0, 0.5]), torch.tensor([1, 0]))
    assert got.item() == pytest.approx(expected, rel=1e-6)


def test_lambda_loss_of_the_top_leaves_the_rest_alone() -> None:
    logits, labels = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([0, 0, 1, 2])
    _, gradient = _gradient(lambda x: lambda_loss(x, labels, top=1), logits)
    # No pair without the first: the second is as irrelevant as it, and never compared.
    assert gradient[1] == 0
    assert gradient[0] > 0
    assert gradient[2] < 0
    assert gradient[3] < 0


# -- all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LABELLED)
def test_gradients_are_true(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    labels = torch.tensor([1.0, 0.0, 0.5, 0.0, 0.25])
    assert torch.autograd.gradcheck(
        lambda x: loss(x, labels), (_random(5, seed=3).requires_grad_(),)
    )


@pytest.mark.parametrize("loss", [ranknet, lambda_loss])
@pytest.mark.parametrize("labels", [[1.0], [0.0], [0.0, 0.0, 0.0], [2.0, 2.0]])
def test_without_pairs_there_is_no_loss_and_no_gradient(
    loss: Callable[[Tensor, Tensor], Tensor], labels: list[float]
) -> None:
    value, gradient = _gradient(lambda x: loss(x, torch.tensor(labels)), _random(len(labels)))
    assert value == 0.0
    assert not gradient.any()


def test_lce_of_a_positive_alone_is_zero() -> None:
    value, gradient = _gradient(lce, torch.tensor([3.0]))
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("scale", [1e4, 1e8])
@pytest.mark.parametrize("loss", LABELLED)
def test_large_logits_stay_finite_and_pull_the_right_way(
    loss: Callable[[Tensor, Tensor], Tensor], scale: float
) -> None:
    labels = torch.tensor([1.0, 0.0, 0.0])
    logits = scale * torch.tensor([-1.0, 1.0, 0.5])
    value, gradient = _gradient(lambda x: loss(x, labels), logits)
    assert math.isfinite(value)
    assert value > scale / 100
    assert gradient[0] < 0
    assert bool((gradient[1:] > 0).all())
    right, gradient = _gradient(lambda x: loss(x, labels), -logits)
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
    for loss in LABELLED:
        value = loss(logits, labels).item()
        # Bounded below, blind to the order of candidates.
        assert value >= 0
        assert loss(logits[order], labels[order]).item() == pytest.approx(value, abs=1e-9)
    for pairwise in (ranknet, lambda_loss):
        # Only differences count; their gradients cancel.
        value, gradient = _gradient(lambda x, f=pairwise: f(x, labels), logits)  # type: ignore[misc]
        assert gradient.sum().item() == pytest.approx(0.0, abs=1e-9)
    assert ranknet(logits + shift, labels).item() == pytest.approx(
        ranknet(logits, labels).item(), abs=1e-9
    )
    assert lce(logits + shift).item() == pytest.approx(lce(logits).item(), abs=1e-9)
    # A better answer costs less.
    better = logits.clone()
    best = int(labels.argmax())
    better[best] += 1
    assert ranknet(better, labels) <= ranknet(logits, labels)
    assert lce(better, positive=best) < lce(logits, positive=best)


@settings(deadline=None, max_examples=40)
@given(values=_logits, data=st.data())
def test_lambda_loss_bounds_what_is_missing_to_ndcg(
    values: list[float], data: st.DataObject
) -> None:
    """A misordered pair costs at least what swapping it gains, and those gains cover the loss.

    With two grades, what is missing is the sum of as many swaps as there are irrelevant candidates
    in the places of relevant ones; more grades are a sum of such thresholds.
    """
    n = len(values)
    labels = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    pairs = sum(a > b for a in labels for b in labels)
    logits = torch.tensor(values, dtype=torch.float64)
    loss = lambda_loss(logits, torch.tensor(labels), mu=0.0).item() * pairs
    missing = 1 - _ndcg(logits.argsort(descending=True).tolist(), labels, n) if pairs else 0.0
    assert loss >= missing - 1e-6
