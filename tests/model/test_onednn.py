"""Linear layers run by oneDNN, against the layers they were made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unimoer_rag.evaluation.environment import distinct_bytes
from unimoer_rag.model.layers.onednn import OneDNNLinear, to_onednn
from unimoer_rag.model.unimoer import UniMoER, load_own

TEXTS = ["Refunds take five working days.", "The library opens at nine."]

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="this processor has no bfloat16 instructions, so nothing is packed",
)


def make(rows: int, columns: int, *, bias: bool = True, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(columns, rows, bias=bias).bfloat16().requires_grad_(False)


@pytest.fixture
def packed_model(minilm_path: Path) -> UniMoER:
    return UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype="bfloat16")


@needs_bfloat16
@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    shape=st.lists(st.integers(1, 9), min_size=0, max_size=2),
    bias=st.booleans(),
)
def test_it_gives_what_the_layer_gave(
    rows: int, columns: int, shape: list[int], bias: bool
) -> None:
    linear = make(rows, columns, bias=bias)
    packed = to_onednn(linear)
    assert isinstance(packed, OneDNNLinear)
    x = torch.randn(*shape, columns).bfloat16()
    with torch.inference_mode():
        expected = nn.functional.linear(
            x.float(), linear.weight.float(), None if linear.bias is None else linear.bias.float()
        )
        given_back = packed(x)
    assert given_back.shape == expected.shape
    assert given_back.dtype == torch.bfloat16
    torch.testing.assert_close(given_back.float(), expected, rtol=0.02, atol=0.02)


@needs_bfloat16
def test_the_weight_is_kept_once_and_comes_back_exactly() -> None:
    linear = make(24, 40)
    packed = to_onednn(linear)
    assert torch.equal(packed.weight.to_dense(), linear.weight)
    assert distinct_bytes(packed.parameters()) == distinct_bytes(linear.parameters())


@needs_bfloat16
def test_gradients_pass_through_it() -> None:
    linear = make(24, 40)
    packed = to_onednn(linear)
    x = torch.randn(3, 40).bfloat16()
    grads = []
    for layer in (linear, packed):
        mine = x.clone().requires_grad_()
        layer(mine).square().sum().backward()
        grads.append(mine.grad)
    torch.testing.assert_close(grads[0], grads[1])


@needs_bfloat16
def test_cast_or_moved_it_is_a_plain_layer_again() -> None:
    linear = make(24, 40)
    packed = to_onednn(linear)
    packed.float()
    assert packed.weight.dtype == torch.float32
    assert packed.weight.layout == torch.strided
    x = torch.randn(3, 40)
    assert torch.equal(packed(x), linear.float()(x))


@pytest.mark.parametrize(
    "linear",
    [
        nn.Linear(8, 8),
        make(8, 8).requires_grad_(True),
        nn.Linear(8, 8).half().requires_grad_(False),
    ],
)
def test_what_gains_nothing_stays_as_it_is(linear: nn.Linear) -> None:
    assert to_onednn(linear) is linear


@pytest.mark.slow
@needs_bfloat16
def test_a_loaded_checkpoint_is_packed_and_one_to_be_changed_is_not(
    packed_model: UniMoER,
) -> None:
    plain = load_own("unimoer-minilm", device="cpu", dtype="bfloat16")
    assert all(isinstance(r.base, OneDNNLinear) for r in packed_model.routed_layers().values())
    assert not any(isinstance(r.base, OneDNNLinear) for r in plain.routed_layers().values())
    assert distinct_bytes(packed_model.parameters()) == distinct_bytes(plain.parameters())
    ours, theirs = packed_model.embed(TEXTS), plain.embed(TEXTS)
    assert np.all(np.sum(ours * theirs, axis=1) > 0.9999)
    question = "How long do refunds take?"
    assert packed_model.read(question, TEXTS)[0].text == plain.read(question, TEXTS)[0].text


@settings(max_examples=20, deadline=None)
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=2),
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    bias=st.booleans(),
)
def test_in_float32_it_has_the_layers_own_weight_and_gives_what_it_gave(
    shape: list[int], rows: int, columns: int, bias: bool
) -> None:
    linear = nn.Linear(columns, rows, bias=bias).requires_grad_(False)
    fast = to_onednn(linear)
    if not isinstance(fast, OneDNNLinear):
        pytest.skip("this processor has no instructions that would gain by it")
    assert fast.weight is linear.weight
    x = torch.randn(*shape, columns)
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), linear(x), rtol=1e-5, atol=1e-5)
