from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TEXTS
from torch.nn import functional

from unimoer_rag.model.heads import (
    MAX_ANSWER_TOKENS,
    CrossHead,
    LateHead,
    LateState,
    SpanScores,
    pool,
    punctuation_ids,
    span_logits,
)
from unimoer_rag.model.jobs import decode_span
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import READ
from unimoer_rag.model.unimoer import UniMoER


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


# -- late interaction -----------------------------------------------------------------------


def state(n: int, *, seed: int, width: int = 8, ids: list[int] | None = None) -> LateState:
    generator = torch.Generator().manual_seed(seed)
    tokens = functional.normalize(torch.randn(n, width, generator=generator), dim=-1)
    pooled = functional.normalize(torch.randn(width, generator=generator), dim=-1)
    return LateState(tokens, pooled, torch.tensor(ids or list(range(100, 100 + n))).long())


def double_loop(head: LateHead, query: LateState, document: LateState) -> float:
    punctuation = set(head.punctuation.tolist())
    asked = [t for t, i in zip(query.tokens, query.ids.tolist(), strict=True)]
    worded = [
        t for t, i in zip(query.tokens, query.ids.tolist(), strict=True) if i not in punctuation
    ]
    total = 0.0
    for q in worded or asked:
        best = 0.0
        for d in document.tokens:
            best = max(best, float(q @ d))
        total += best**2
    maxsim = total / len(worded or asked)
    cosine = float(query.pooled @ document.pooled)
    return head.maxsim.item() * maxsim + head.cosine.item() * cosine + head.bias.item()


@given(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_late_scores_equal_a_double_loop(n: int, lengths: list[int], seed: int) -> None:
    head = LateHead(torch.tensor([101, 103]))
    query = state(n, seed=seed)
    documents = [state(length, seed=seed + 1 + at) for at, length in enumerate(lengths)]
    with torch.inference_mode():
        found = head.compare(query, documents).tolist()
    expected = [double_loop(head, query, document) for document in documents]
    assert found == pytest.approx(expected, abs=1e-4)


def test_maxsim_properties() -> None:
    head = LateHead(torch.tensor([101]))
    query, document = state(4, seed=1), state(7, seed=2)
    with torch.inference_mode():
        score = float(head.compare(query, [document])[0])
        # The order of the document's tokens does not matter, more tokens never lower the score.
        turned = LateState(document.tokens.flip(0), document.pooled, document.ids.flip(0))
        assert float(head.compare(query, [turned])[0]) == pytest.approx(score, abs=1e-5)
        more = LateState(
            torch.cat([document.tokens, state(3, seed=3).tokens]), document.pooled, document.ids
        )
        assert float(head.compare(query, [more])[0]) >= score - 1e-5
        # A text is its own best match.
        itself = LateState(query.tokens, query.pooled, query.ids)
        best = (head.maxsim + head.cosine + head.bias).item()
        assert float(head.compare(query, [itself])[0]) == pytest.approx(best, abs=1e-4)
        # Nothing but punctuation is compared as it is.
        marks = state(2, seed=4, ids=[101, 101])
        assert math.isfinite(float(head.compare(marks, [document])[0]))


@given(st.integers(2, 6), st.floats(0.05, 0.9), st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_feedback_equals_its_definition(n: int, share: float, seed: int) -> None:
    head = LateHead(torch.tensor([101, 103]))
    query = state(3, seed=seed)
    documents = [state(4 + at, seed=seed + 1 + at) for at in range(n)]
    own = [double_loop(head, query, document) for document in documents]
    first, second = sorted(range(n), key=lambda at: -own[at])[:2]
    weight = 1 / (1 + math.exp(own[second] - own[first]))
    blended = [
        (1 - share) * own[at]
        + share * weight * double_loop(head, documents[first], document)
        + share * (1 - weight) * double_loop(head, documents[second], document)
        for at, document in enumerate(documents)
    ]
    expected = [value - max(blended) + max(own) for value in blended]
    with torch.inference_mode():
        found = head.rank(query, documents, share).tolist()
    assert found == pytest.approx(expected, abs=1e-3)


def test_feedback_lifts_what_is_like_the_best() -> None:
    head = LateHead(torch.tensor([101]))
    query, best, other = state(3, seed=1), state(6, seed=2), state(6, seed=3)
    best = LateState(torch.cat([query.tokens, best.tokens]), query.pooled, torch.arange(9) + 200)
    # Two documents equally near to the query: the first shares the rest of the best one's tokens.
    like = LateState(best.tokens[3:], other.pooled, best.ids[3:])
    unlike = LateState(other.tokens, other.pooled, other.ids)
    documents = [unlike, like, best]
    with torch.inference_mode():
        own, ranked = head.compare(query, documents), head.rank(query, documents, 0.3)
        assert torch.equal(head.rank(query, documents, 0.0), own)
        assert torch.equal(head.rank(query, documents[:1], 0.3), own[:1])
        assert head.rank(query, [], 0.3).shape == (0,)
    assert ranked[1] - ranked[0] > own[1] - own[0]
    assert ranked.max() == pytest.approx(float(own.max()), abs=1e-4)


def test_many_documents_are_compared_as_few_are() -> None:
    head = LateHead(torch.tensor([101]))
    query, documents = state(3, seed=1), [state(1 + at % 5, seed=at) for at in range(150)]
    with torch.inference_mode():
        at_once = head.compare(query, documents)
        one_by_one = torch.cat([head.compare(query, [document]) for document in documents])
    torch.testing.assert_close(at_once, one_by_one, atol=1e-5, rtol=0)


def test_late_scores_of_texts_without_tokens_are_finite() -> None:
    head = LateHead(torch.tensor([101]))
    empty, full = state(0, seed=1), state(3, seed=2)
    with torch.inference_mode():
        assert head.compare(full, []).shape == (0,)
        for query, documents in [
            (empty, [full, empty]),
            (full, [empty]),
            (full, [empty, full]),
            (empty, [empty]),
        ]:
            logits = head.compare(query, documents)
            cosine = torch.stack([d.pooled for d in documents]) @ query.pooled
            only = head.cosine * cosine + head.bias
            assert torch.isfinite(logits).all()
            torch.testing.assert_close(logits[0], only[0])


def test_kept_document_states_give_the_same_scores(model: UniMoER) -> None:
    task = model.task("rerank")
    kept = [model.run([row])[0] for row in model.rows.single(TEXTS, task)]
    query = model.run(model.rows.single(["who wrote it?"], task, "query"))[0]
    with torch.inference_mode():
        logits = model.heads["rerank"].compare(query, kept).numpy()
    expected = model.score("who wrote it?", TEXTS, logits=True)
    # Token states are float16 outside of training: a rounding apart, scaled by the head.
    np.testing.assert_allclose(logits, expected, atol=2e-3)
    assert kept[0].nbytes == len(kept[0].ids) * (32 * 2 + 8) + 32 * 4
    assert kept[0].ids.dtype == torch.int64


def test_punctuation_ids_have_no_letter_or_digit(model: UniMoER) -> None:
    marks = set(model.tokenizer.convert_ids_to_tokens(punctuation_ids(model.tokenizer).tolist()))
    assert marks >= {",", ".", ";", "?"}
    assert not any(c.isalnum() for mark in marks for c in mark if c not in "\u0120\u010a")


# -- cross encoding and pooling -------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_cross_head_reads_segments_or_the_last_token(causal: bool) -> None:
    torch.manual_seed(0)
    head = CrossHead(8, causal=causal)
    hidden = torch.randn(2, 9, 8)
    rows = [Row(READ, [0] * 9, (1, 3), (4, 8)), Row(READ, [0] * 6, (1, 2), (3, 5))]
    assert (head(hidden, rows) == 0).all()  # untrained: every pair alike
    torch.nn.init.normal_(head.out.weight)
    for at, row in enumerate(rows):
        if causal:
            features = hidden[at, len(row.ids) - 1]
        else:
            q, d = (hidden[at, s:e].mean(0) for s, e in (row.first, row.second))
            features = torch.cat([q, d, q * d, (q - d).abs()])
        expected = head.out(functional.gelu(head.hidden(features))).squeeze()
        torch.testing.assert_close(head(hidden, rows)[at], expected)
    empty = [Row(READ, [0] * 9, (1, 3), (4, 4)), rows[1]]
    assert torch.isfinite(head(hidden, empty)).all()


def test_pooling_ignores_padding() -> None:
    hidden = torch.randn(1, 5, 4)
    mask = torch.tensor([[True, True, True, False, False]])
    mean, last = (pool(hidden, mask, causal=causal) for causal in (False, True))
    torch.testing.assert_close(mean, functional.normalize(hidden[:, :3].mean(1), dim=-1))
    torch.testing.assert_close(last, functional.normalize(hidden[:, 2], dim=-1))
