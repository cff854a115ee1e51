"""The profile, measured for real on little work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unimoer_rag.cost import count_operations
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.profile import _kind, measure_profile
from unimoer_rag.model.unimoer import UniMoER


@pytest.mark.slow
def test_every_stage_is_timed(minilm_path: Path) -> None:
    threads = torch.get_num_threads()
    found = measure_profile(passages=20, depth=5, words=200, repeats=3)
    ours, plain = found["ours"], found["others"]["transformers"]["encode_ms"]
    assert list(ours["query_ms"]) == ["embed the query", "find", "tokenize", "encode", "compare"]
    assert list(ours["document_ms"]) == ["cut", "tokenize", "encode", "BM25", "store"]
    assert min(*ours["query_ms"].values(), *ours["document_ms"].values()) > 0
    assert found["ratio"] == pytest.approx(plain["query"] / ours["query_ms"]["encode"], rel=0.01)
    assert sum(found["operators"].values()) == pytest.approx(1, abs=0.01)
    assert found["operators"]["linear layers"] > 0.3
    assert found["roofline"]["share"] > 0
    assert torch.get_num_threads() == threads


def test_operations_are_those_of_the_matrix_products(minilm_path: Path) -> None:
    model = UniMoER.from_pretrained("unimoer-minilm")
    n, width, inner, layers = 10, 384, 1536, 6
    linear = 4 * width * width + 2 * width * inner
    attention = 2 * n * width  # scores and mixture of one token
    before = model.backbone.config._attn_implementation
    assert count_operations(model, [n]) == 2 * n * layers * (linear + attention)
    assert model.backbone.config._attn_implementation == before


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("mkldnn::_linear_pointwise", "linear layers"),
        ("aten::addmm", "linear layers"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::bmm", "attention"),
        ("aten::native_layer_norm", "norms"),
        ("aten::layer_norm", "norms"),
        ("aten::copy_", "other"),
    ],
)
def test_operators_have_their_kind(operator: str, kind: str) -> None:
    assert _kind(operator) == kind


def test_too_few_repeats_are_refused() -> None:
    with pytest.raises(InputError, match="repeats is 2: expected 3 or more"):
        measure_profile(repeats=2)
