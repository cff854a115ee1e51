"""Real weights of two backbones, beside sentence-transformers (`make backbones` fetches mpnet)."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag import UniMoER
from unimoer_rag.data.datasets import load_beir

pytestmark = pytest.mark.slow


def copy_of(name: str) -> Path:
    """The folder of a backbone's copy."""
    folder = Path(os.environ.get("UNIMOER_BACKBONES", "/nowhere")) / name
    if not folder.is_dir():
        pytest.skip(f"no copy of {name} in $UNIMOER_BACKBONES: run make backbones")
    return folder


@pytest.fixture
def passages(data_dir: Path) -> list[str]:
    """Five hundred passages of Wikipedia, short and long."""
    corpus = load_beir(data_dir / "nq", "dev").corpus
    return [document.content for document in islice(corpus.values(), 500)]


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "all-mpnet-base-v2"])
def test_real_passages_are_embedded_as_by_sentence_transformers(
    name: str, passages: list[str], request: pytest.FixtureRequest
) -> None:
    from sentence_transformers import SentenceTransformer

    small = name == "all-MiniLM-L6-v2"
    folder = request.getfixturevalue("minilm_path") if small else copy_of(name)
    published = SentenceTransformer(str(folder), device="cpu")
    model = UniMoER.from_pretrained(f"sentence-transformers/{name}", device="cpu", dtype="float32")
    theirs = published.encode(passages, normalize_embeddings=True, batch_size=16)
    ours = model.embed(passages)
    assert (theirs * ours).sum(-1).min() >= 0.9999
    # The same order, but where two passages are as near to one as float32 can tell.
    near, mine = theirs @ theirs[:50].T, ours @ ours[:50].T
    order = np.argsort(-mine, axis=0)[:20]
    falling = np.take_along_axis(near, order, axis=0)
    assert (np.diff(falling, axis=0) <= 1e-5).all()
