from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_models import TEXTS
from torch.nn import functional

from unimoer_rag.model.tasks.late import LateHead, LateState, punctuation_ids
from unimoer_rag.model.unimoer import UniMoER


def state(n: int, *, seed: int, width: int = 8, marks: tuple[int, ...] = (1, 3)) -> LateState:
    """A text of `n` tokens; those at `marks` are punctuation."""
    generator = torch.Generator().manual_seed(seed)
    tokens = functional.normalize(torch.randn(n, width, generator=generator), dim=-1)
    pooled = functional.normalize(torch.randn(width, generator=generator), dim=-1)
    worded = torch.tensor([at not in marks for at in range(n)], dtype=torch.bool)
    return LateState(tokens, pooled, worded)


def worded(text: LateState) -> list[torch.Tensor]:
    tokens = list(zip(text.tokens, text.worded.tolist(), strict=True))
    return [token for token, word in tokens if word] or [token for token, _ in tokens]


def nearest(token: torch.Tensor, document: LateState) -> float:
    return max([0.0, *(float(token @ d) for d in document.tokens)])


def double_loop(
    head: LateHead, query: LateState, document: LateState, weights: list[float] | None = None
) -> float:
    asked = worded(query)
    weights = weights or [1.0] * len(asked)
    matched = [w * nearest(q, document) ** 2 for q, w in zip(asked, weights, strict=True)]
    cosine = float(query.pooled @ document.pooled)
    return (
        head.maxsim.item() * sum(matched) / sum(weights)
        + head.cosine.item() * cosine
        + head.bias.item()
    )


def likeness(head: LateHead, leader: LateState, document: LateState) -> float:
    asked = worded(leader)
    total = [sum(float(t[at]) for t in asked) for at in range(len(asked[0]))]
    length = math.hypot(*total)
    weights = [
        max(1e-3, 1 - sum(float(x) * y for x, y in zip(t, total, strict=True)) / length)
        for t in asked
    ]
    return double_loop(head, leader, document, weights)


def trusted(
    head: LateHead, query: LateState, leader: LateState, coverage: tuple[float, float]
) -> float:
    if coverage == (0.0, 0.0):
        return 1.0
    least = sorted(nearest(q, leader) for q in worded(query))[:3]
    begins, whole = coverage
    return min(1.0, max(0.0, (sum(least) / len(least) - begins) / (whole - begins)))


@given(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_late_scores_equal_a_double_loop(n: int, lengths: list[int], seed: int) -> None:
    head = LateHead(torch.tensor([101]))
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
        turned = LateState(document.tokens.flip(0), document.pooled, document.worded.flip(0))
        assert float(head.compare(query, [turned])[0]) == pytest.approx(score, abs=1e-5)
        more = LateState(
            torch.cat([document.tokens, state(3, seed=3).tokens]), document.pooled, document.worded
        )
        assert float(head.compare(query, [more])[0]) >= score - 1e-5
        # A text is its own best match.
        itself = LateState(query.tokens, query.pooled, query.worded)
        best = (head.maxsim + head.cosine + head.bias).item()
        assert float(head.compare(query, [itself])[0]) == pytest.approx(best, abs=1e-4)
        # Nothing but punctuation is compared as it is.
        marks = state(2, seed=4, marks=(0, 1))
        assert math.isfinite(float(head.compare(marks, [document])[0]))


@pytest.mark.slow
@given(
    st.integers(2, 14),
    st.floats(0.05, 0.9),
    st.sampled_from([(0.0, 0.0), (0.1, 0.5), (0.35, 0.65)]),
    st.sampled_from([0.0, 0.75]),
    st.integers(0, 999),
)
@settings(deadline=None, max_examples=60)
def test_feedback_equals_its_definition(
    n: int, feedback: float, coverage: tuple[float, float], contrast: float, seed: int
) -> None:
    head = LateHead(torch.tensor([101]))
    query = state(5, seed=seed)
    documents = [state(4 + at, seed=seed + 1 + at) for at in range(n)]
    own = [double_loop(head, query, document) for document in documents]
    best_first = sorted(range(n), key=lambda at: -own[at])
    leaders = best_first[:5]
    total = sum(math.exp(own[at] - max(own)) for at in leaders)
    weights = [math.exp(own[at] - max(own)) / total for at in leaders]
    share = feedback * sum(
        weight * trusted(head, query, documents[at], coverage)
        for weight, at in zip(weights, leaders, strict=True)
    )
    like = [[likeness(head, documents[leader], d) for d in documents] for leader in leaders]
    for row, leader in zip(like, leaders, strict=True):
        row[leader] = max(value for at, value in enumerate(row) if at != leader)
    worst = best_first[max(5, math.ceil(n / 2)) :]

    def blended(at: int) -> float:
        said = sum(weight * row[at] for weight, row in zip(weights, like, strict=True))
        cosines = [float(documents[at].pooled @ documents[w].pooled) for w in worst]
        unlike = sum(cosines) / len(cosines) if cosines else 0.0
        lost = contrast * head.cosine.item() * unlike
        return (1 - share) * own[at] + share * (said - lost)

    values = [blended(at) for at in range(n)]
    order = sorted(range(n), key=lambda at: -values[at])
    assume(all(values[a] - values[b] > 1e-3 for a, b in pairwise(order)))
    assume(all(own[a] - own[b] > 1e-3 for a, b in pairwise(best_first)))
    expected = dict(zip(order, sorted(own, reverse=True), strict=True)) if share else own
    with torch.inference_mode():
        found = head.rank(query, documents, feedback, coverage, contrast).tolist()
    assert found == pytest.approx([expected[at] for at in range(n)], abs=1e-3)


@given(st.integers(1, 4), st.integers(0, 9), st.integers(0, 999))
@settings(deadline=None, max_examples=20)
def test_two_documents_read_as_one_equal_their_definition(n: int, others: int, seed: int) -> None:
    head, query = LateHead(torch.tensor([101])), state(4, seed=seed)
    documents = [state(2 + at % 3, seed=seed + 1 + at) for at in range(n + others)]
    with torch.inference_mode():
        found = head.together(query, documents, n)
        alone = head.compare(query, documents)
    assert found.shape == (n, n + others)
    words = worded(query)
    for a, one in enumerate(documents[:n]):
        for b, other in enumerate(documents):
            best = [max(nearest(word, one), nearest(word, other)) ** 2 for word in words]
            cosine = float(query.pooled @ (one.pooled + other.pooled)) / 2
            expected = 24 * sum(best) / len(best) + 6 * cosine - 14
            assert float(found[a, b]) == pytest.approx(expected, abs=1e-4)
        # With itself it says what it says alone.
        assert float(found[a, a]) == pytest.approx(float(alone[a]), abs=1e-4)
    assert head.together(query, [], 3).shape == (0, 0)


def test_a_leader_that_leaves_out_a_part_of_the_query_is_not_asked() -> None:
    head, words = LateHead(torch.tensor([101])), torch.eye(8)

    def text(*which: int) -> LateState:
        return LateState(
            words[list(which)], words[which[0]], torch.ones(len(which), dtype=torch.bool)
        )

    query, coverage = text(0, 1), (0.55, 0.65)
    with torch.inference_mode():
        # The second has a word of the query, the third most of what else the first says.
        covered = [text(0, 1, 3, 4, 5), text(7, 0), text(3, 4, 5)]
        own = head.compare(query, covered)
        assert own.argsort(descending=True).tolist() == [0, 1, 2]
        found = head.rank(query, covered, 0.9, coverage)
        assert found.argsort(descending=True).tolist() == [0, 2, 1]
        # Without its second word, the first covers half of the query.
        parts = [text(0, 6, 3, 4, 5), *covered[1:]]
        assert torch.equal(head.rank(query, parts, 0.9, coverage), head.compare(query, parts))
        assert not torch.equal(head.rank(query, parts, 0.9), head.compare(query, parts))


def test_feedback_lifts_what_is_like_the_best() -> None:
    head = LateHead(torch.tensor([101]))
    query, best, other = state(3, seed=1), state(6, seed=2), state(6, seed=3)
    best = LateState(
        torch.cat([query.tokens, best.tokens]), query.pooled, torch.ones(9, dtype=torch.bool)
    )
    # Two documents equally near to the query: the first shares the rest of the best one's tokens.
    like = LateState(best.tokens[3:], other.pooled, best.worded[3:])
    unlike = LateState(other.tokens, other.pooled, other.worded)
    documents = [unlike, like, best]
    with torch.inference_mode():
        own, ranked = head.compare(query, documents), head.rank(query, documents, 0.3)
        assert torch.equal(head.rank(query, documents, 0.0), own)
        # Alone, the document goes through another kernel.
        alone = head.rank(query, documents[:1], 0.3)
        torch.testing.assert_close(alone, own[:1], atol=1e-4, rtol=1e-6)
        assert head.rank(query, [], 0.3).shape == (0,)
        for empty in (state(0, seed=4), state(1, seed=5)):
            for coverage in [(0.0, 0.0), (0.35, 0.65)]:
                assert torch.isfinite(head.rank(empty, [best, empty], 0.3, coverage)).all()
                assert torch.isfinite(head.rank(query, [empty, empty], 0.3, coverage)).all()
    assert ranked.argsort(descending=True).tolist() == [2, 1, 0]
    # How probable relevance is, is not for other documents to say.
    assert ranked.sort().values.equal(own.sort().values)


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
    assert kept[0].nbytes == len(kept[0].tokens) * (32 * 2 + 1) + 32 * 4
    [row] = model.rows.single(["who, wrote it?"], task)
    marks = punctuation_ids(model.tokenizer).tolist()
    words = [token not in marks for token in row.ids[slice(*row.first)]]
    assert model.run([row])[0].worded.tolist() == words
    assert words.count(False) == 2


def test_punctuation_ids_have_no_letter_or_digit(model: UniMoER) -> None:
    marks = set(model.tokenizer.convert_ids_to_tokens(punctuation_ids(model.tokenizer).tolist()))
    assert marks >= {",", ".", ";", "?"}
    assert not any(c.isalnum() for mark in marks for c in mark if c not in "\u0120\u010a")
