"""The span loss against enumeration of every span."""

from __future__ import annotations

import math

import pytest
import torch

from unimoer_rag.model.tasks.span import MAX_ANSWER_TOKENS, SpanScores
from unimoer_rag.training.losses import span


def _random(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def _spans(n: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(n) for j in range(i, min(n, i + MAX_ANSWER_TOKENS))]


@pytest.mark.parametrize("n", [1, 5, MAX_ANSWER_TOKENS + 4])
@pytest.mark.parametrize("n_gold", [0, 1, 3])
def test_span_equals_enumeration(n: int, n_gold: int) -> None:
    start, end, null = _random(n), _random(n, seed=1), 0.3
    spans = _spans(n)
    gold = spans[:: max(1, len(spans) // 3)][:n_gold]
    weight = {(i, j): math.exp(start[i].item() + end[j].item()) for i, j in spans}
    total = sum(weight.values()) + math.exp(null)
    credit = sum(weight[place] for place in gold) if gold else math.exp(null)
    got = span(SpanScores(start, end, torch.tensor(null)), gold)
    assert got.item() == pytest.approx(-math.log(credit / total), rel=1e-4, abs=1e-5)


def test_a_passage_without_tokens_is_certain_of_no_answer() -> None:
    start, null = torch.zeros(0), torch.tensor(-2.0, requires_grad=True)
    loss = span(SpanScores(start, start, null), [])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert null.grad == 0.0


def test_gradients_are_finite_past_the_longest_answer() -> None:
    start = _random(MAX_ANSWER_TOKENS + 9).requires_grad_()
    end = _random(MAX_ANSWER_TOKENS + 9, seed=1).requires_grad_()
    span(SpanScores(start, end, torch.tensor(0.0)), [(2, 4)]).backward()  # type: ignore[no-untyped-call]
    for edge in (start, end):
        assert edge.grad is not None
        assert bool(torch.isfinite(edge.grad).all())


def test_gradients_are_true() -> None:
    edges = [_random(4, seed).double().requires_grad_() for seed in (0, 1)]
    null = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    for gold in ([], [(1, 2), (3, 3)]):

        def loss(
            start: torch.Tensor,
            end: torch.Tensor,
            null: torch.Tensor,
            gold: list[tuple[int, int]] = gold,
        ) -> torch.Tensor:
            return span(SpanScores(start, end, null), gold)

        assert torch.autograd.gradcheck(loss, (*edges, null))
