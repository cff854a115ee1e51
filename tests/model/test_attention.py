"""Attention on CPUs in bfloat16, against softmax attention written out in float64."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unimoer_rag.model.layers import attention
from unimoer_rag.model.layers.attention import CPU_ATTENTION, attend, make_mask
from unimoer_rag.model.unimoer import UniMoER

ENCODER: Any = SimpleNamespace(is_causal=False)


def exact(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    q, k, v = query.double(), key.double(), value.double()
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2)


def draw(rows: int, tokens: int, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, 3, tokens, 32)
    return tuple(
        (torch.randn(shape, generator=generator) * factor).bfloat16() for factor in (scale, 1, 1)
    )


def padded(lengths: list[int], tokens: int) -> Tensor:
    real = torch.arange(tokens) < torch.tensor(lengths).unsqueeze(1)
    return real[:, None, None, :].expand(-1, 1, tokens, -1)


@pytest.fixture
def left_to_sdpa(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    sdpa = attention.sdpa_attention_forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return sdpa(*args, **kwargs)

    monkeypatch.setattr(attention, "sdpa_attention_forward", counted)
    return calls


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 999))
def test_it_is_softmax_attention_over_the_real_keys(lengths: list[int], seed: int) -> None:
    tokens = max(lengths)
    query, key, value = draw(len(lengths), tokens, seed=seed)
    mask = padded(lengths, tokens)
    with torch.inference_mode():
        found, weights = attend(ENCODER, query, key, value, mask)
    assert weights is None
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact(query, key, value, mask), atol=0.04, rtol=0.02)


def test_no_mask_is_no_padding(left_to_sdpa: list[int]) -> None:
    query, key, value = draw(2, 17)
    with torch.inference_mode():
        found, _ = attend(ENCODER, query, key, value, None)
    torch.testing.assert_close(found.double(), exact(query, key, value, None), atol=0.04, rtol=0.02)
    assert not left_to_sdpa


@pytest.mark.parametrize("scale", [60.0, 1000.0])
def test_scores_too_large_are_left_to_sdpa(scale: float, left_to_sdpa: list[int]) -> None:
    query, key, value = draw(2, 9, scale=scale)
    with torch.inference_mode():
        found, _ = attend(ENCODER, query, key, value, padded([9, 4], 9))
    assert left_to_sdpa
    assert bool(found.isfinite().all())


def test_a_query_far_from_all_keys_is_left_to_sdpa(left_to_sdpa: list[int]) -> None:
    _, key, value = draw(1, 5)
    key = key + 8
    query = torch.full_like(key, -4)  # every score is about -180
    with torch.inference_mode():
        found, _ = attend(ENCODER, query, key, value, None)
    assert left_to_sdpa
    torch.testing.assert_close(found.double(), exact(query, key, value, None), atol=0.04, rtol=0.02)


def test_a_masked_key_that_overflows_changes_nothing(left_to_sdpa: list[int]) -> None:
    query, key, value = draw(1, 5)
    key[:, :, 3:] = query[:, :, :1] * 1000
    mask = padded([3], 5)
    with torch.inference_mode():
        found, _ = attend(ENCODER, query, key, value, mask)
    assert left_to_sdpa
    torch.testing.assert_close(found.double(), exact(query, key, value, mask), atol=0.04, rtol=0.02)


def test_large_scores_need_no_help(left_to_sdpa: list[int]) -> None:
    query, key, value = draw(2, 17, scale=6.0)
    with torch.inference_mode():
        found, _ = attend(ENCODER, query, key, value, None)
    assert not left_to_sdpa
    torch.testing.assert_close(found.double(), exact(query, key, value, None), atol=0.1, rtol=0.1)


def test_what_does_not_fit_is_left_to_sdpa(left_to_sdpa: list[int]) -> None:
    query, key, value = draw(1, 6)
    local = torch.ones(6, 6, dtype=torch.bool).triu(-1).tril(1)[None, None]
    causal: Any = SimpleNamespace(is_causal=True)
    for n, (module, mask, dtype) in enumerate(
        [(ENCODER, local, torch.bfloat16), (causal, None, torch.bfloat16)], start=1
    ):
        with torch.inference_mode():
            found, _ = attend(module, query.to(dtype), key.to(dtype), value.to(dtype), mask)
        keep = torch.ones(6, 6, dtype=torch.bool).tril() if module is causal else local
        torch.testing.assert_close(
            found.double(), exact(query, key, value, keep), atol=0.04, rtol=0.02
        )
        assert len(left_to_sdpa) == n
    with torch.inference_mode():
        attend(ENCODER, query.float(), key.float(), value.float(), None)
    assert len(left_to_sdpa) == 3


def test_where_gradients_are_wanted_they_are_those_of_softmax_attention(
    left_to_sdpa: list[int],
) -> None:
    mask = padded([9, 4], 9)
    given = [t.requires_grad_() for t in draw(2, 9)]
    found, _ = attend(ENCODER, *given, mask)  # type: ignore[arg-type]
    doubles = [t.detach().double().requires_grad_() for t in given]
    wanted = exact(doubles[0], doubles[1], doubles[2], mask)
    torch.testing.assert_close(found.double(), wanted, atol=0.04, rtol=0.02)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((found * weights).sum(), given)
    exactly = torch.autograd.grad((wanted * weights).sum(), doubles)
    for one, other in zip(gradients, exactly, strict=True):
        assert float((one.double() - other).norm() / other.norm()) < 0.02
    assert not left_to_sdpa


def test_a_mask_that_is_the_same_for_all_queries_is_a_view_of_one() -> None:
    real = torch.tensor([[1, 1, 1], [1, 0, 0]], dtype=torch.bool)
    same = make_mask(2, 3, 3, mask_function=lambda b, h, q, k: k >= 0, attention_mask=real)
    assert same is not None
    assert same.stride(2) == 0
    assert same[:, 0].tolist() == [[row.tolist()] * 3 for row in real]
    causal = make_mask(
        2, 3, 3, mask_function=lambda b, h, q, k: k <= q, attention_mask=real,
        allow_is_causal_skip=False,
    )  # fmt: skip
    assert causal is not None
    assert causal.stride(2) != 0


@pytest.mark.slow
def test_the_shipped_model_embeds_as_in_float32(minilm_path: Path) -> None:
    texts = ["refunds take 14 days", "we open at nine on every day of the week but sunday", "tea"]
    exactly = UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype="float32")
    model = UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype="bfloat16")
    assert model.backbone.config._attn_implementation == CPU_ATTENTION
    assert exactly.backbone.config._attn_implementation == "sdpa"
    cosines = (model.embed(texts) * exactly.embed(texts)).sum(-1)
    assert np.all(cosines > 0.9995)
