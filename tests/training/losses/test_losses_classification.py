"""Cross entropy over classes against its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unimoer_rag.training.losses import classification

LOGITS = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def _log_p() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    scores = LOGITS.numpy()
    return np.asarray(scores - np.log(np.exp(scores).sum()))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("label", [0, 2])
def test_it_is_the_cross_entropy_of_the_smoothed_label(smoothing: float, label: int) -> None:
    target = np.eye(3)[label] * (1 - smoothing) + smoothing / 3
    got = classification(LOGITS, label, smoothing=smoothing)
    assert got.item() == pytest.approx(-(target @ _log_p()), rel=1e-12)


def test_class_weights_weigh_an_example_by_its_class() -> None:
    weights = torch.tensor([0.5, 3.0, 1.0], dtype=torch.float64)
    assert classification(LOGITS, 1, weights=weights).item() == pytest.approx(-3.0 * _log_p()[1])
    smoothed = classification(LOGITS, 1, smoothing=0.3, weights=weights)
    target = np.array([0.1, 0.8, 0.1]) * weights.numpy()
    assert smoothed.item() == pytest.approx(-(target @ _log_p()))


def test_gradient_is_the_softmax_less_the_target() -> None:
    logits = LOGITS.clone().requires_grad_()
    classification(logits, 2, smoothing=0.3).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    expected = np.exp(_log_p()) - np.array([0.1, 0.1, 0.8])
    assert np.abs(logits.grad.numpy() - expected).max() < 1e-12


def test_large_logits_and_one_class() -> None:
    assert classification(torch.tensor([1e8, -1e8]), 0).item() == 0.0
    assert classification(torch.tensor([1e8, -1e8]), 1).item() == pytest.approx(2e8)
    assert classification(torch.tensor([4.0]), 0).item() == 0.0
    assert classification(torch.zeros(4), 3).item() == pytest.approx(math.log(4))
