"""Frozen weights in 8 and 4 bits: how far they are from the whole ones, and what stays the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import ARCHITECTURES, TEXTS, make_model
from torch import nn

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.model.describe import describe
from unimoer_rag.model.device import QUANTIZATIONS, choose_dtype, choose_precision
from unimoer_rag.model.language import resident_language_model
from unimoer_rag.model.layers.quantized import (
    Int4Linear,
    Int8Embedding,
    Int8Linear,
    QuantizedLinear,
    count_bytes,
    count_weights,
)
from unimoer_rag.model.unimoer import UniMoER, load_own

KINDS = {"int8": Int8Linear, "int4": Int4Linear}


def linear(n_in: int, n_out: int, seed: int = 0, *, bias: bool = True) -> nn.Linear:
    made = torch.Generator().manual_seed(seed)
    layer = nn.Linear(n_in, n_out, bias=bias)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=made)
    return layer.requires_grad_(False)


def test_int8_against_a_computation_by_hand() -> None:
    layer = linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.27, -0.634], [0.0, 25.4]])
    held = Int8Linear(layer)
    assert held.weight.tolist() == [[127, -63], [0, 127]]
    torch.testing.assert_close(held.scale, torch.tensor([0.01, 0.2]))
    torch.testing.assert_close(held(torch.tensor([[1.0, 2.0]])), torch.tensor([[0.01, 50.8]]))


def test_int4_against_a_computation_by_hand() -> None:
    layer = linear(64, 1, bias=False)
    # The first group's sixteen levels are -1, -0.8, ..., 2; the second's are 10, 11, ..., 25.
    first = [-1.0, 2.0, 0.09, 0.11] + [0.0] * 28
    second = [10.0, 25.0, 13.4, 13.6] + [20.0] * 28
    layer.weight.data = torch.tensor([[*first, *second]])
    held = Int4Linear(layer)
    assert held.weight.shape == (32, 1)
    assert held.weight[:4, 0].tolist() == [0 | 0 << 4, 15 | 15 << 4, 5 | 3 << 4, 6 | 4 << 4]
    expected = torch.tensor([[-1.0, 2.0, 0.0, 0.2] + [0.0] * 28 + [10, 25, 13, 14] + [20.0] * 28])
    torch.testing.assert_close(held.dequantized(), expected, atol=1e-6, rtol=0)


@settings(max_examples=25, deadline=None)
@given(groups=st.integers(1, 3), n_out=st.integers(1, 9), seed=st.integers(0, 99))
def test_no_weight_is_further_off_than_half_a_step(groups: int, n_out: int, seed: int) -> None:
    layer = linear(64 * groups, n_out, seed)
    int8, int4 = Int8Linear(layer), Int4Linear(layer)
    step = layer.weight.abs().amax(1, keepdim=True) / 127
    assert ((int8.dequantized() - layer.weight).abs() <= step * 0.5001).all()
    grouped = layer.weight.view(n_out, -1, 32)
    step = (grouped.amax(-1) - grouped.amin(-1)) / 15
    off = (int4.dequantized() - layer.weight).abs().view(n_out, -1, 32).amax(-1)
    assert (off <= step * 0.5001).all()


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_that_of_the_weights_it_says(kind: str, *, bias: bool) -> None:
    layer = linear(64, 7, bias=bias)
    held = KINDS[kind](layer)
    x = torch.randn(2, 3, 64)
    expected = nn.functional.linear(x, held.dequantized(), layer.bias)
    torch.testing.assert_close(held(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_a_gradient_passes_through_to_the_input(kind: str) -> None:
    held = KINDS[kind](linear(64, 8))
    x = torch.randn(3, 64, requires_grad=True)
    held(x).sum().backward()
    expected = held.dequantized().sum(0).expand(3, 64)
    torch.testing.assert_close(x.grad, expected, atol=1e-4, rtol=1e-4)


def test_an_embedding_keeps_dtype_and_values() -> None:
    vectors = torch.randn(20, 6)
    vectors[3] = 0
    held = Int8Embedding(vectors.bfloat16())
    ids = torch.tensor([[0, 3], [19, 7]])
    assert held(ids).dtype == torch.bfloat16
    assert not held(ids)[0, 1].any()
    step = vectors.abs().amax(1, keepdim=True) / 127
    assert ((held.dequantized() - vectors.bfloat16().float()).abs() <= step * 0.51).all()
    torch.testing.assert_close(held(ids).float(), held.dequantized()[ids], atol=0.02, rtol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_every_architecture_embeds_scores_and_reads(
    backbone_path, tmp_path: Path, kind: str, quantization: str
) -> None:
    whole = make_model(backbone_path(kind))
    folder = whole.save_pretrained(tmp_path / "checkpoint")
    model = load_own(folder, device="cpu", dtype=quantization)
    assert model.quantization == quantization
    assert model.dtype == choose_dtype("auto", torch.device("cpu"))
    bases = [routed.base for routed in model.routed_layers().values()]
    assert bases
    assert all(isinstance(base, QuantizedLinear) for base in bases)
    assert isinstance(model.backbone.get_input_embeddings(), Int8Embedding)
    cosines = (model.embed(TEXTS) * whole.embed(TEXTS)).sum(1)
    assert cosines.min() > 0.95
    np.testing.assert_allclose(model.score("who?", TEXTS), whole.score("who?", TEXTS), atol=0.1)
    assert len(model.read("who?", TEXTS)) == len(TEXTS)
    assert count_weights(model.backbone) == count_weights(whole.backbone)
    assert count_bytes(model) < count_bytes(whole)


def test_a_quantized_checkpoint_saves_the_same_files(backbone_path, tmp_path: Path) -> None:
    folder = make_model(backbone_path("bert")).save_pretrained(tmp_path / "whole")
    model = load_own(folder, device="cpu", dtype="int8")
    again = model.save_pretrained(tmp_path / "again")
    for file in folder.glob("adapter*"):
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_holders_share_by_quantization(backbone_path, tmp_path: Path) -> None:
    folder = make_model(backbone_path("bert")).save_pretrained(tmp_path / "checkpoint")
    int8 = UniMoER.from_pretrained(folder, device="cpu", dtype="int8")
    whole = UniMoER.from_pretrained(folder, device="cpu")
    assert int8 is not whole
    assert int8 is UniMoER.from_pretrained(folder, device="cpu", dtype="int8")
    assert int8.checkpoint_digest == whole.checkpoint_digest


def test_a_new_expert_goes_onto_a_quantized_layer(backbone_path) -> None:
    model = UniMoER.from_backbone(str(backbone_path("bert")), device="cpu", dtype="int4")
    found = describe(model)
    assert found["quantization"] == "int4"
    assert found["bytes"] == count_bytes(model)
    assert set(model.experts) == {"shared", "embed", "rerank", "read"}


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match=r"unknown dtype 'int3'.*'int8', 'int4'"):
        choose_precision("int3", torch.device("cpu"))
    assert str(choose_precision("int4", torch.device("cpu"))) == "int4"
    assert str(choose_precision("float32", torch.device("cpu"))) == "float32"


def test_a_quantized_decoder_writes_no_text(backbone_path) -> None:
    model = UniMoER.from_backbone(str(backbone_path("qwen3")), device="cpu", dtype="int8")
    with pytest.raises(BackboneError, match="load it with dtype 'bfloat16'"):
        resident_language_model(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantization", "least", "share"),
    # `bench precision` measures more of it; a share is of the bytes of float32. What stays whole is
    # in float32 on a processor without bfloat16, which is a hundredth more.
    [("int8", 0.99, 0.32), ("int4", 0.88, 0.29)],
)
def test_the_default_checkpoint(quantization: str, least: float, share: float) -> None:
    whole = load_own("unimoer-minilm", device="cpu", dtype="float32")
    model = load_own("unimoer-minilm", device="cpu", dtype=quantization)
    cosines = (model.embed(TEXTS) * whole.embed(TEXTS)).sum(1)
    assert cosines.mean() > least
    assert count_bytes(model) < share * count_bytes(whole)
