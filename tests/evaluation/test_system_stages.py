"""Each decoder baseline finds and ranks in the harness what it gives by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lab.baselines.tiny_decoders import DOCUMENTS, QUERY, save_decoder
from safetensors.torch import load_file, save_file

from unimoer_rag.evaluation import corpus_in_index
from unimoer_rag.evaluation.systems.types import Embedder, Ranker
from unimoer_rag.lab.baselines.e2rank import E2Rank
from unimoer_rag.lab.baselines.gritlm import GritLM
from unimoer_rag.lab.baselines.listwise import ListwiseReranker
from unimoer_rag.lab.baselines.qwen3 import Qwen3Embedding, Qwen3Reranker
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.retrieval.types import Document


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder that has what every baseline looks for."""
    folder = tmp_path_factory.mktemp("decoder")
    tokens = ["yes", "no", "<|embed_token|>", "<|rerank_token|>"]
    save_decoder(folder, tokens=tokens, template="{{ messages[0].content }}")
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(3)
    weights["projector.0.weight"] = torch.randn(16, 32, generator=generator)
    weights["projector.2.weight"] = torch.randn(8, 16, generator=generator)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def parts(name: str, folder: Path) -> tuple[Embedder, Ranker]:
    where = {"device": "cpu", "dtype": "float32"}
    match name:
        case "qwen3":
            return Qwen3Embedding(folder, **where), Qwen3Reranker(folder, **where)
        case "listwise":
            return Qwen3Embedding(folder, **where), ListwiseReranker(folder, **where)
    both = {"e2rank": E2Rank, "gritlm": GritLM}[name](folder, **where)
    return both, both


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3", "e2rank", "listwise", "gritlm"])
def test_a_search_is_the_parts_own_order(folder, tmp_path, name) -> None:
    embedder, ranker = parts(name, folder)
    system = TwoStage(name, embedder=embedder, ranker=ranker)
    corpus = {str(at): Document(text, str(at)) for at, text in enumerate(DOCUMENTS)}
    cosines = embedder.embed(DOCUMENTS, "document") @ embedder.embed([QUERY], "query")[0]
    found = np.argsort(-cosines).tolist()
    scores = ranker.rank(QUERY, [DOCUMENTS[at] for at in found])
    ranked = [found[at] for at in np.argsort(-scores)]
    options = {"index": tmp_path, "first_stage": "dense", "depth": 5}
    with corpus_in_index(system, corpus, **options) as finder:
        retrieved = finder.search(QUERY, k=5, rerank=0)
        reranked = finder.search(QUERY, k=5)
    assert [int(hit.source) for hit in retrieved] == found
    assert [int(hit.source) for hit in reranked] == ranked
    assert (reranked[0].rerank is not None) == ranker.probabilistic == (name in ("qwen3", "gritlm"))
    np.testing.assert_allclose(system.rank([QUERY], [DOCUMENTS])[0], ranker.rank(QUERY, DOCUMENTS))
