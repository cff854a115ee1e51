"""InfoNCE against double loops, its masks one by one, and its gradient in closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from unimoer_rag.training.losses import LateNce, info_nce
from unimoer_rag.training.losses.base import VectorBatch

T = 0.07


def _vectors(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(
        torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1
    )


def _batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four queries, seven documents; two queries share an answer, one has a second answer."""
    queries, documents = _vectors(4, 6, seed=seed), _vectors(7, 6, seed=seed + 1)
    positives = torch.tensor([4, 0, 2, 0])
    masked = torch.zeros((4, 7), dtype=torch.bool)
    masked[2, 4] = True
    return queries, documents, positives, masked


def _by_hand(
    queries: Tensor,
    documents: Tensor,
    positives: Tensor,
    masked: Tensor,
    query_query: bool,
    document_document: bool,
    margin: float | None,
) -> float:
    """The equation of the report, term by term."""
    q, d = queries.numpy(), documents.numpy()
    total = 0.0
    for i in range(len(q)):
        mine = int(positives[i])
        anchor = float(q[i] @ d[mine])

        def kept(score: float, anchor: float = anchor) -> bool:
            return margin is None or score <= anchor + margin

        z = math.exp(anchor / T)
        for j in range(len(d)):
            negative = j != mine and not masked[i, j] and kept(float(q[i] @ d[j]))
            if negative:
                z += math.exp(float(q[i] @ d[j]) / T)
            if negative and document_document:
                z += math.exp(float(d[mine] @ d[j]) / T)
        for j in range(len(q)):
            theirs = int(positives[j])
            other = theirs != mine and not masked[i, theirs]
            if query_query and other and kept(float(q[i] @ q[j])):
                z += math.exp(float(q[i] @ q[j]) / T)
        total -= math.log(math.exp(anchor / T) / z)
    return total / len(q)


@pytest.mark.parametrize(
    ("query_query", "document_document", "margin"),
    list(itertools.product([False, True], [False, True], [None, 0.1, -0.2])),
)
def test_every_combination_of_terms_by_double_loop(
    query_query: bool, document_document: bool, margin: float | None
) -> None:
    queries, documents, positives, masked = _batch()
    got = info_nce(
        queries,
        documents,
        positives,
        masked,
        temperature=T,
        query_query=query_query,
        document_document=document_document,
        margin=margin,
    )
    expected = _by_hand(
        queries, documents, positives, masked, query_query, document_document, margin
    )
    assert got.item() == pytest.approx(expected, rel=1e-9)


def test_golden_of_two_orthogonal_pairs() -> None:
    # Each query equals its document and is orthogonal to the other's.
    eye = torch.eye(2)
    positives = torch.tensor([0, 1])
    plain = info_nce(eye, eye, positives, temperature=0.5)
    assert plain.item() == pytest.approx(math.log(1 + math.exp(-2)))
    full = info_nce(
        eye,
        eye,
        positives,
        temperature=0.5,
        query_query=True,
        document_document=True,
        margin=0.1,
    )
    assert full.item() == pytest.approx(math.log(1 + 3 * math.exp(-2)))


def test_gradient_is_the_candidates_probability_less_the_answer() -> None:
    queries, documents, positives, _ = _batch()
    queries.requires_grad_()
    info_nce(queries, documents, positives, temperature=T).backward()  # type: ignore[no-untyped-call]
    scores = queries.detach().numpy() @ documents.numpy().T / T
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = (p - np.eye(7)[positives.numpy()]) @ documents.numpy() / T / 4
    assert queries.grad is not None
    assert np.abs(queries.grad.numpy() - expected).max() < 1e-9


def test_all_terms_have_true_gradients() -> None:
    queries, documents, positives, masked = _batch()

    def loss(q: Tensor, d: Tensor) -> Tensor:
        return info_nce(
            q,
            d,
            positives,
            masked,
            temperature=0.5,
            query_query=True,
            document_document=True,
            margin=0.1,
        )

    assert torch.autograd.gradcheck(loss, (queries.requires_grad_(), documents.requires_grad_()))


def test_with_nothing_to_contrast_it_is_zero() -> None:
    queries, documents, positives, _ = _batch()
    queries.requires_grad_()
    everything = torch.ones((4, 7), dtype=torch.bool)
    loss = info_nce(
        queries,
        documents,
        positives,
        everything,
        temperature=0.01,
        query_query=True,
        document_document=True,
        margin=0.1,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert queries.grad is not None
    assert not queries.grad.any()


def test_a_masked_document_changes_nothing_wherever_it_lies() -> None:
    queries, documents, positives, masked = _batch()
    masked[:, 5] = True
    moved = documents.clone()
    moved[5] = -moved[5]
    results = [
        info_nce(queries, d, positives, masked, temperature=T, document_document=True).item()
        for d in (documents, moved)
    ]
    assert results[0] == results[1]


def test_margin_takes_out_what_looks_like_another_answer() -> None:
    query = torch.tensor([[1.0, 0.0]])
    # The second document is closer to the query than its answer by 0.4.
    documents = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    positive = torch.tensor([0])
    near = info_nce(query, documents, positive, temperature=0.1, margin=0.5)
    assert near.item() == pytest.approx(math.log(1 + math.exp(4)), rel=1e-5)
    assert info_nce(query, documents, positive, temperature=0.1, margin=0.3).item() == 0.0


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_order_of_queries_and_documents_does_not_matter(seed: int, data: st.DataObject) -> None:
    queries, documents, positives, masked = _batch(seed)
    rows = torch.tensor(data.draw(st.permutations(range(4))))
    columns = torch.tensor(data.draw(st.permutations(range(7))))
    place = torch.empty_like(columns).scatter(0, columns, torch.arange(7))

    def loss(q: Tensor, d: Tensor, p: Tensor, m: Tensor) -> float:
        return info_nce(
            q,
            d,
            p,
            m,
            temperature=T,
            query_query=True,
            document_document=True,
            margin=0.1,
        ).item()

    mixed = loss(
        queries[rows], documents[columns], place[positives[rows]], masked[rows][:, columns]
    )
    assert mixed == pytest.approx(loss(queries, documents, positives, masked), rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), margin=st.sampled_from([None, 0.0, 0.1]))
def test_more_terms_cost_more_and_nothing_is_below_zero(seed: int, margin: float | None) -> None:
    queries, documents, positives, masked = _batch(seed)

    def loss(query_query: bool, document_document: bool) -> float:
        return info_nce(
            queries,
            documents,
            positives,
            masked,
            temperature=T,
            query_query=query_query,
            document_document=document_document,
            margin=margin,
        ).item()

    plain = loss(False, False)
    assert 0 <= plain <= min(loss(True, False), loss(False, True)) + 1e-12
    assert max(loss(True, False), loss(False, True)) <= loss(True, True) + 1e-12


def test_late_contrast_by_hand() -> None:
    """The head's logits as they are: no temperature, further answers left out of the sum."""
    queries, documents, positives, masked = _batch()
    logits = 5 * torch.randn(4, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    own = [[int(at)] for at in positives]
    batch = VectorBatch(queries, documents, own, masked, T, [[]] * 4, compared=logits)
    expected = 0.0
    for i, row in enumerate(logits.tolist()):
        z = sum(math.exp(value) for j, value in enumerate(row) if not masked[i, j])
        expected -= math.log(math.exp(row[own[i][0]]) / z)
    assert float(LateNce().batch_loss(batch)) == pytest.approx(expected / 4)
