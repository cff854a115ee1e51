"""Matryoshka: the sum of one loss over cut vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unimoer_rag.errors import TrainingError
from unimoer_rag.training.losses import info_nce, matryoshka


def _contrast(queries: Tensor, documents: Tensor) -> Tensor:
    return info_nce(
        queries, documents, torch.arange(len(queries)), temperature=0.1, query_query=True
    )


def _vectors(n: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((n, width), generator=generator, dtype=torch.float64)
    return functional.normalize(drawn, dim=-1)


def test_it_is_the_weighted_sum_of_losses_on_cut_vectors() -> None:
    queries, documents = _vectors(3, 8, 0), _vectors(5, 8, 1)
    expected = 0.0
    for dimension, weight in ((8, 1.0), (4, 0.5), (1, 0.25)):
        q, d = (v.numpy()[:, :dimension] for v in (queries, documents))
        q, d = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (q, d))
        documents_scores, queries_scores = np.exp(q @ d.T / 0.1), np.exp(q @ q.T / 0.1)
        for i in range(3):
            z = documents_scores[i].sum() + queries_scores[i].sum() - queries_scores[i, i]
            expected -= weight * np.log(documents_scores[i, i] / z) / 3
    got = matryoshka(_contrast, queries, documents, dimensions=(8, 4, 1), weights=(1.0, 0.5, 0.25))
    assert got.item() == pytest.approx(expected, rel=1e-9)


def test_whole_vectors_alone_are_the_loss_itself() -> None:
    queries, documents = _vectors(3, 8, 0), _vectors(3, 8, 1)
    got = matryoshka(_contrast, queries, documents, dimensions=(8,))
    assert got.item() == pytest.approx(_contrast(queries, documents).item(), rel=1e-12)


def test_coordinates_past_the_cut_get_no_gradient() -> None:
    queries = _vectors(3, 8, 0).requires_grad_()
    matryoshka(_contrast, queries, _vectors(3, 8, 1), dimensions=(4, 2)).backward()  # type: ignore[no-untyped-call]
    assert queries.grad is not None
    assert not queries.grad[:, 4:].any()
    assert bool(queries.grad[:, :4].all())


def test_gradients_are_true_through_the_second_normalisation() -> None:
    queries, documents = _vectors(2, 4, 0).requires_grad_(), _vectors(2, 4, 1).requires_grad_()

    def loss(q: Tensor, d: Tensor) -> Tensor:
        return matryoshka(_contrast, q, d, dimensions=(4, 2), weights=(1.0, 0.3))

    assert torch.autograd.gradcheck(loss, (queries, documents))


def test_a_vector_that_is_nothing_after_the_cut_is_no_error() -> None:
    queries = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    loss = matryoshka(_contrast, queries, torch.eye(2), dimensions=(1,))
    loss.backward()  # type: ignore[no-untyped-call]
    assert queries.grad is not None
    assert bool(torch.isfinite(queries.grad).all())


@pytest.mark.parametrize("dimensions", [(), (0,), (4, 9), (-1,)])
def test_lengths_the_model_does_not_have_are_refused(dimensions: tuple[int, ...]) -> None:
    with pytest.raises(TrainingError, match="each between 1 and the model's 8"):
        matryoshka(_contrast, _vectors(2, 8, 0), _vectors(2, 8, 1), dimensions=dimensions)


def test_weights_must_be_as_many_as_lengths() -> None:
    with pytest.raises(TrainingError, match="1 matryoshka weights for 2 dimensions"):
        matryoshka(
            _contrast, _vectors(2, 8, 0), _vectors(2, 8, 1), dimensions=(8, 4), weights=(1.0,)
        )
