"""Real weights of two backbones, beside sentence-transformers (`make backbones` fetches mpnet)."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag import UniMoER
from unimoer_rag.data.datasets import load_beir

MPNET = Path(os.environ.get("UNIMOER_BACKBONES", "/nowhere")) / "all-mpnet-base-v2"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MPNET.is_dir(), reason="minutes, and real weights: make backbones"),
]


@pytest.fixture
def passages(data_dir: Path) -> list[str]:
    """Five hundred passages of Wikipedia, short and long."""
    corpus = load_beir(data_dir / "nq", "dev").corpus
    return [document.content for document in islice(corpus.values(), 500)]


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "all-mpnet-base-v2"])
def test_real_passages_are_embedded_as_by_sentence_transformers(
    name: str, passages: list[str], minilm_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    small = name == "all-MiniLM-L6-v2"
    folder = minilm_path if small else MPNET
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
