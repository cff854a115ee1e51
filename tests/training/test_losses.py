"""Losses against computations of their own: loops, enumeration, torch's other functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from unimoer_rag.model.heads import MAX_ANSWER_TOKENS, SpanScores
from unimoer_rag.training import losses


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_info_nce_is_the_mean_log_share_of_the_positives() -> None:
    similarity, positives = _random(3, 5), torch.tensor([4, 0, 2])
    scores = np.exp(similarity.double().numpy() / 0.07)
    expected = np.mean([-math.log(scores[i, p] / scores[i].sum()) for i, p in enumerate([4, 0, 2])])
    got = losses.info_nce(similarity, positives, temperature=0.07)
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_info_nce_ignores_masked_candidates() -> None:
    similarity, positives = _random(2, 4), torch.tensor([0, 1])
    masked = similarity.clone()
    masked[:, 3] = -math.inf
    assert losses.info_nce(masked, positives, temperature=0.1).item() == pytest.approx(
        losses.info_nce(similarity[:, :3], positives, temperature=0.1).item()
    )


def test_list_softmax_by_hand() -> None:
    # Two equal logits share the probability; a third, infinitely below, takes none.
    assert losses.list_softmax(torch.tensor([1.0, 1.0, -1e4])).item() == pytest.approx(math.log(2))
    assert losses.list_softmax(torch.tensor([0.0, 3.0]), positive=1).item() == pytest.approx(
        math.log(1 + math.exp(-3))
    )


def test_binary_weighs_the_positive_like_all_negatives_together() -> None:
    logits = torch.tensor([0.4, -1.0, 2.0, 0.3])
    positive = functional.softplus(-logits[0])
    negatives = functional.softplus(logits[1:]).mean()
    assert losses.binary(logits).item() == pytest.approx(((positive + negatives) / 2).item())


def test_binary_of_a_positive_alone() -> None:
    assert losses.binary(torch.tensor([2.0])).item() == pytest.approx(
        0.5 * math.log(1 + math.exp(-2))
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_kl_anchor_equals_torchs_divergence(temperature: float) -> None:
    logits, frozen = _random(3, 6), _random(3, 6, seed=1)
    expected = functional.kl_div(
        (logits / temperature).log_softmax(-1),
        (frozen / temperature).log_softmax(-1),
        log_target=True,
        reduction="batchmean",
    )
    got = losses.kl_anchor(logits, frozen, temperature=temperature)
    assert got.item() == pytest.approx(expected.item() * temperature**2, rel=1e-4)


def test_kl_anchor_is_zero_at_equality_and_pulls_nowhere() -> None:
    frozen = _random(4, 7)
    logits = frozen.clone().requires_grad_()
    divergence = losses.kl_anchor(logits, frozen, temperature=2.0)
    divergence.backward()  # type: ignore[no-untyped-call]
    assert divergence.item() == pytest.approx(0.0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.abs().max().item() < 1e-6
    # A shift of all logits is no change of the distribution.
    shifted = losses.kl_anchor(frozen + 3.0, frozen, temperature=2.0)
    assert shifted.item() == pytest.approx(0.0, abs=1e-5)
    assert losses.kl_anchor(frozen * 2, frozen, temperature=2.0).item() > 0.01


def test_kl_anchor_takes_masked_candidates() -> None:
    frozen = torch.tensor([[1.0, 0.0, -1e5]])
    logits = torch.tensor([[0.0, 1.0, -1e5]], requires_grad=True)
    divergence = losses.kl_anchor(logits, frozen, temperature=1.0)
    divergence.backward()  # type: ignore[no-untyped-call]
    p = 1 / (1 + math.exp(-1))
    assert divergence.item() == pytest.approx(p * 1 + (1 - p) * -1, rel=1e-5)
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


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
    credit = sum(weight[span] for span in gold) if gold else math.exp(null)
    got = losses.span(SpanScores(start, end, torch.tensor(null)), gold)
    assert got.item() == pytest.approx(-math.log(credit / total), rel=1e-4, abs=1e-5)


def test_span_of_a_passage_without_tokens_is_certain_of_no_answer() -> None:
    empty = SpanScores(torch.zeros(0), torch.zeros(0), torch.tensor(-2.0))
    assert losses.span(empty, []).item() == pytest.approx(0.0, abs=1e-6)


def test_span_has_finite_gradients_past_the_longest_answer() -> None:
    start = _random(MAX_ANSWER_TOKENS + 9).requires_grad_()
    end = _random(MAX_ANSWER_TOKENS + 9, seed=1).requires_grad_()
    losses.span(SpanScores(start, end, torch.tensor(0.0)), [(2, 4)]).backward()  # type: ignore[no-untyped-call]
    for edge in (start, end):
        assert edge.grad is not None
        assert bool(torch.isfinite(edge.grad).all())


def test_balance_is_one_when_rows_use_their_experts_evenly() -> None:
    # Three experts; the first row may use two of them, the second row all.
    allowed = torch.tensor([[True, True, False], [True, True, True]])
    weights = torch.tensor([[[0.5, 0.5, 0.0]], [[1 / 3, 1 / 3, 1 / 3]]])
    assert losses.load_balance([weights, weights], allowed).item() == pytest.approx(1.0)


def test_balance_follows_its_formula() -> None:
    generator = torch.Generator().manual_seed(3)
    allowed = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])
    layers = []
    for _ in range(4):
        raw = torch.rand((3, 1, 3), generator=generator) * allowed.unsqueeze(1)
        raw[raw < 0.3] = 0.0
        raw[:, :, 1] += 0.1
        layers.append(raw / raw.sum(-1, keepdim=True))
    expected = 0.0
    for layer in layers:
        total = 0.0
        for expert in range(3):
            rows = [r for r in range(3) if allowed[r, expert]]
            share = sum(layer[r, 0, expert].item() * int(allowed[r].sum()) for r in rows)
            total += (share / len(rows)) ** 2
        expected += total / 3 / len(layers)
    assert losses.load_balance(layers, allowed).item() == pytest.approx(expected, rel=1e-5)


def test_balance_counts_collapse_and_pushes_against_it() -> None:
    allowed = torch.ones((2, 2), dtype=torch.bool)
    collapsed = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert losses.load_balance([collapsed], allowed).item() == pytest.approx(2.0)
    # Rows that specialise in different experts use both evenly.
    assert losses.load_balance([torch.eye(2).unsqueeze(1)], allowed).item() == pytest.approx(1.0)
    leaning = torch.tensor([[[0.8, 0.2]], [[0.7, 0.3]]], requires_grad=True)
    losses.load_balance([leaning], allowed).backward()  # type: ignore[no-untyped-call]
    assert leaning.grad is not None
    assert bool((leaning.grad[..., 0] > leaning.grad[..., 1]).all())
