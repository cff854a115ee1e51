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


@pytest.mark.parametrize("label", [0, 2])
def test_it_is_the_cross_entropy_of_the_label(label: int) -> None:
    assert classification(LOGITS, label).item() == pytest.approx(-_log_p()[label], rel=1e-12)


def test_gradient_is_the_softmax_less_the_target() -> None:
    logits = LOGITS.clone().requires_grad_()
    classification(logits, 2).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    expected = np.exp(_log_p()) - np.array([0.0, 0.0, 1.0])
    assert np.abs(logits.grad.numpy() - expected).max() < 1e-12


def test_large_logits_and_one_class() -> None:
    assert classification(torch.tensor([1e8, -1e8]), 0).item() == 0.0
    assert classification(torch.tensor([1e8, -1e8]), 1).item() == pytest.approx(2e8)
    assert classification(torch.tensor([4.0]), 0).item() == 0.0
    assert classification(torch.zeros(4), 3).item() == pytest.approx(math.log(4))
