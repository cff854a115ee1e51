"""Token states in few bytes give nearly the ranking that the full ones give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TEXTS
from torch.nn import functional

from unimoer_rag.errors import IndexCorruptError, InputError
from unimoer_rag.model.tasks.jobs import embedding
from unimoer_rag.model.tasks.late import LateHead, LateState
from unimoer_rag.model.tasks.state_format import Precision, StateFormat
from unimoer_rag.model.tasks.state_jobs import indexing, ranking_states
from unimoer_rag.model.unimoer import UniMoER

PRECISIONS: tuple[Precision, ...] = ("float16", "int8", "binary")
FORMATS = [StateFormat(precision, pooling) for precision in PRECISIONS for pooling in (1, 2, 4)]
QUERY = "who wrote it?"

sizes = st.tuples(st.integers(0, 12), st.integers(1, 21), st.integers(0, 999))


def make_state(n: int, width: int, seed: int) -> LateState:
    generator = torch.Generator().manual_seed(seed)
    tokens = functional.normalize(torch.randn(n, width, generator=generator), dim=-1)
    pooled = functional.normalize(torch.randn(width, generator=generator), dim=-1)
    worded = torch.rand(n, generator=generator) < 0.7
    return LateState(tokens.half(), pooled, worded)


def restored(state: LateState) -> torch.Tensor:
    """The tokens that a state stands for, float32."""
    tokens = state.tokens.float()
    return tokens if state.scale is None else tokens * state.scale.unsqueeze(1)


def words_first(state: LateState) -> torch.Tensor:
    return torch.cat([state.tokens[state.worded], state.tokens[~state.worded]]).float()


@given(sizes)
@settings(deadline=None, max_examples=60)
def test_float16_loses_nothing_of_the_tokens(size: tuple[int, int, int]) -> None:
    state = make_state(*size)
    form = StateFormat("float16")
    found = form.unpack(form.pack(state), size[1])
    assert torch.equal(restored(found), words_first(state))
    assert found.worded.tolist() == sorted(state.worded.tolist(), reverse=True)
    torch.testing.assert_close(found.pooled, state.pooled, atol=5e-4, rtol=0)


@given(sizes)
@settings(deadline=None, max_examples=60)
def test_int8_is_within_half_a_step(size: tuple[int, int, int]) -> None:
    state = make_state(*size)
    form = StateFormat("int8")
    found = form.unpack(form.pack(state), size[1])
    exact = words_first(state)
    step = exact.abs().amax(-1, keepdim=True) / 127
    # Half a step, and a little for the step's own rounding to 11 bits.
    assert ((restored(found) - exact).abs() <= step * 0.57 + 1e-6).all()


@given(sizes)
@settings(deadline=None, max_examples=60)
def test_binary_keeps_signs_and_a_tokens_cosine_with_itself(size: tuple[int, int, int]) -> None:
    state = make_state(*size)
    form = StateFormat("binary")
    found = form.unpack(form.pack(state), size[1])
    exact = words_first(state)
    assert torch.equal(found.tokens, torch.where(exact >= 0, 1, -1).to(torch.int8))
    itself = (restored(found) * exact).sum(-1)
    torch.testing.assert_close(itself, torch.ones(len(exact)), atol=2e-3, rtol=0)


def test_binary_estimates_cosines_without_bias() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, query = (
        functional.normalize(torch.randn(4000, 64, generator=generator), dim=-1) for _ in range(2)
    )
    near = functional.normalize(tokens + 0.7 * query, dim=-1)
    form = StateFormat("binary")
    state = LateState(near.half(), near[0], torch.ones(4000).bool())
    estimated = (restored(form.unpack(form.pack(state), 64)) * tokens).sum(-1)
    exact = (near * tokens).sum(-1)
    assert float(exact.mean()) > 0.7
    assert float((estimated - exact).mean()) == pytest.approx(0, abs=0.01)


@given(sizes, st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_pooling_takes_the_mean_of_neighbouring_words(
    size: tuple[int, int, int], pooling: int
) -> None:
    state = make_state(*size)
    form = StateFormat("float16", pooling)
    found = form.unpack(form.pack(state), size[1])
    expected: list[Any] = []
    for part in (state.tokens[state.worded], state.tokens[~state.worded]):
        tokens = part.float().numpy()
        for at in range(0, len(tokens), pooling):
            mean = tokens[at : at + pooling].mean(0)
            expected.append(mean / max(np.linalg.norm(mean), 1e-12))
    n_words = -(-int(state.worded.sum()) // pooling)
    assert int(found.worded.sum()) == n_words
    assert found.worded[:n_words].all()
    wanted = np.array(expected, dtype=np.float32).reshape(-1, size[1])
    np.testing.assert_allclose(restored(found).numpy(), wanted, atol=2e-3)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_bytes_are_those_of_the_table(form: StateFormat) -> None:
    n, width = 10, 24
    state = LateState(make_state(n, width, 1).tokens, torch.ones(width), torch.ones(n).bool())
    token = {"float16": 2 * width, "int8": width + 2, "binary": width // 8 + 2}[form.precision]
    assert len(form.pack(state)) == 8 + 2 * width + -(-n // form.pooling) * token


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize(("feedback", "coverage"), [(0.0, (0.0, 0.0)), (0.7, (0.1, 0.5))])
def test_ranking_from_codes_is_that_of_the_numbers_they_stand_for(
    form: StateFormat, feedback: float, coverage: tuple[float, float]
) -> None:
    head = LateHead(torch.tensor([1]))
    query = make_state(5, 16, 1)
    kept = [form.unpack(form.pack(make_state(n, 16, 10 + n)), 16) for n in range(1, 70)]
    asking = LateState(query.tokens.float(), query.pooled, query.worded)
    with torch.inference_mode():
        found = head.compare(asking, kept)
        plain = [LateState(restored(state), state.pooled, state.worded) for state in kept]
        torch.testing.assert_close(found, head.compare(asking, plain), atol=1e-4, rtol=0)
        ranked = head.rank(asking, kept, feedback, coverage)
    assert ranked.sort().values.equal(found.sort().values)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_empty_texts_and_lone_punctuation_survive(form: StateFormat) -> None:
    head = LateHead(torch.tensor([1]))
    query, full = make_state(3, 8, 1), make_state(6, 8, 2)
    zero = LateState(torch.zeros(2, 8).half(), full.pooled, torch.zeros(2).bool())
    texts = [make_state(0, 8, 3), zero, full]
    kept = [form.unpack(form.pack(text), 8) for text in texts]
    assert [int(state.worded.sum()) for state in kept][:2] == [0, 0]
    with torch.inference_mode():
        assert torch.isfinite(head.rank(query, kept, 0.5, (0.1, 0.5))).all()


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_damaged_bytes_are_refused(form: StateFormat) -> None:
    packed = form.pack(make_state(5, 8, 1))
    for damaged in (packed[:-1], packed + b"x", packed[:3], b"", b"\xff" * len(packed)):
        with pytest.raises(IndexCorruptError, match=f"not {form.precision} states of width 8"):
            form.unpack(damaged, 8)
    with pytest.raises(IndexCorruptError, match="width 16"):
        form.unpack(packed, 16)


@pytest.mark.parametrize(
    ("precision", "pooling", "message"),
    [
        ("int4", 1, "'int4': expected one of float16, int8, binary"),
        ("int8", 0, "pooled by 0"),
        ("int8", True, "pooled by True"),
        ("int8", 1.5, "pooled by 1.5"),
    ],
)
def test_unknown_formats_are_refused(precision: Any, pooling: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        StateFormat(precision, pooling)


def check_one_forward(model: UniMoER) -> None:
    """Texts run once give the vectors that embedding gives and the states that reranking uses."""
    form = StateFormat("float16")
    job = indexing(model, TEXTS, form)
    assert len(job.rows) == len(TEXTS)
    vectors, states = model.execute(job)
    np.testing.assert_allclose(vectors, model.embed(TEXTS), atol=1e-5)
    ranked = model.execute(ranking_states(model, QUERY, states, form, logits=True))
    np.testing.assert_allclose(ranked, model.rank(QUERY, TEXTS, logits=True), atol=5e-3)


def test_vectors_and_states_come_from_one_forward_where_tasks_are_alike(
    model: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("embed", "rerank"):  # without experts, as they ship
        changed = model.spec.changed(model.task(name).with_strength(0))
        monkeypatch.setattr(model, "spec", changed)
    check_one_forward(model)


def test_an_expert_that_both_share_gives_both_in_one_forward(
    model: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    expert = model.task("rerank").experts[:1]
    for name in ("embed", "rerank"):
        changed = model.spec.changed(replace(model.task(name), experts=expert))
        monkeypatch.setattr(model, "spec", changed)
    check_one_forward(model)


def test_experts_part_vectors_from_states(model: UniMoER) -> None:
    form = StateFormat("float16")
    long = [*TEXTS, "word " * 5000]
    job = indexing(model, long, form)
    assert len(job.rows) == 2 * len(long)
    assert job.n_truncated == embedding(model, long, "document").n_truncated == 1
    vectors, states = model.execute(job)
    np.testing.assert_allclose(vectors, model.embed(long), atol=1e-5)
    ranked = model.execute(ranking_states(model, QUERY, states, form, logits=True))
    np.testing.assert_allclose(ranked, model.rank(QUERY, long, logits=True), atol=5e-3)


def test_no_texts_and_no_states(model: UniMoER) -> None:
    form = StateFormat("int8")
    vectors, states = model.execute(indexing(model, [], form))
    assert (vectors.shape, states) == ((0, model.dimension), [])
    assert model.execute(ranking_states(model, QUERY, [], form, logits=True)).shape == (0,)
