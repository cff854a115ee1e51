from __future__ import annotations

import importlib
import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import READ
from unimoer_rag.model.tasks.cross import CrossHead
from unimoer_rag.model.tasks.pooling import pool
from unimoer_rag.model.tasks.span import MAX_ANSWER_TOKENS, SpanScores, decode_span, span_logits


def span_row(n: int) -> tuple[Row, str]:
    """A row of `n` one-letter document tokens, and its passage."""
    passage = "".join(chr(ord("a") + i % 26) for i in range(n))
    offsets = [(i, i + 1) for i in range(n)]
    return Row(READ, [0] * (n + 4), (1, 2), (3, 3 + n), offsets), passage


@given(st.integers(1, 45), st.integers(0, 2**16))
@settings(deadline=None, max_examples=60)
def test_span_decoding_equals_brute_force(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    start, end = torch.randn(2, n, generator=generator) * 3
    null = torch.randn((), generator=generator)
    row, passage = span_row(n)
    found = decode_span(SpanScores(start, end, null), row, passage)

    spans = {
        (i, j): float(start[i]) + float(end[j])
        for i in range(n)
        for j in range(i, min(n, i + MAX_ANSWER_TOKENS))
    }
    (i, j), best = max(spans.items(), key=lambda item: item[1])
    total = math.log(sum(map(math.exp, spans.values())) + math.exp(float(null)))
    assert (found.start, found.end) == (i, j + 1)
    assert found.text == passage[i : j + 1]
    assert found.probability == pytest.approx(math.exp(best - total), abs=1e-5)
    assert found.no_answer == pytest.approx(math.exp(float(null) - total), abs=1e-5)
    assert found.margin == pytest.approx(best - float(null), abs=1e-4)


def test_span_logits_forbid_backward_and_long_spans() -> None:
    n = MAX_ANSWER_TOKENS + 5
    logits = span_logits(SpanScores(torch.zeros(n), torch.zeros(n), torch.zeros(())))
    assert logits[3, 2] == -torch.inf
    assert logits[0, MAX_ANSWER_TOKENS] == -torch.inf
    assert logits[0, MAX_ANSWER_TOKENS - 1] == 0


def test_no_document_token_means_no_answer() -> None:
    nothing = SpanScores(torch.zeros(0), torch.zeros(0), torch.tensor(0.3))
    row, passage = span_row(0)
    found = decode_span(nothing, row, passage)
    assert (found.text, found.start, found.end) == ("", 0, 0)
    assert (found.probability, found.no_answer, found.margin) == (0.0, 1.0, -math.inf)
    assert span_logits(nothing).shape == (0, 0)


def test_answers_have_no_whitespace_around_them() -> None:
    offsets = [(0, 2), (2, 6), (6, 11)]  # byte-level: " x" and " six " keep their spaces
    row = Row(READ, [0] * 6, (0, 1), (2, 5), offsets)
    scores = SpanScores(torch.tensor([0.0, 9, 0]), torch.tensor([0.0, 9, 0]), torch.zeros(()))
    found = decode_span(scores, row, "at six  past")
    assert (found.text, found.start, found.end) == ("six", 3, 6)


# -- cross encoding and pooling -------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_cross_head_reads_segments_or_the_last_token(causal: bool) -> None:
    torch.manual_seed(0)
    head = CrossHead(8, causal=causal)
    hidden = torch.randn(2, 9, 8)
    rows = [Row(READ, [0] * 9, (1, 3), (4, 8)), Row(READ, [0] * 6, (1, 2), (3, 5))]
    mask = torch.ones(2, 9, dtype=torch.bool)
    assert all(logit == 0 for logit in head(hidden, rows, mask))  # untrained: every pair alike
    torch.nn.init.normal_(head.out.weight)
    for at, row in enumerate(rows):
        if causal:
            features = hidden[at, len(row.ids) - 1]
        else:
            q, d = (hidden[at, s:e].mean(0) for s, e in (row.first, row.second))
            features = torch.cat([q, d, q * d, (q - d).abs()])
        expected = head.out(functional.gelu(head.hidden(features))).squeeze()
        torch.testing.assert_close(head(hidden, rows, mask)[at], expected)
    empty = [Row(READ, [0] * 9, (1, 3), (4, 4)), rows[1]]
    assert torch.isfinite(torch.stack(head(hidden, empty, mask))).all()


def test_pooling_ignores_padding() -> None:
    hidden = torch.randn(1, 5, 4)
    mask = torch.tensor([[True, True, True, False, False]])
    mean, last = (pool(hidden, mask, causal=causal) for causal in (False, True))
    torch.testing.assert_close(mean, functional.normalize(hidden[:, :3].mean(1), dim=-1))
    torch.testing.assert_close(last, functional.normalize(hidden[:, 2], dim=-1))


def test_heads_are_found_under_their_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "unimoer_rag.model.heads", raising=False)  # told once
    with pytest.warns(DeprecationWarning, match=r"unimoer_rag\.model\.tasks"):
        old = importlib.import_module("unimoer_rag.model.heads")
    assert (old.CrossHead, old.SpanScores, old.pool) == (CrossHead, SpanScores, pool)
