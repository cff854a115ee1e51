"""A frozen MiniLM, and the shop's documents behind a retriever of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from shop import DOCUMENTS

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.chunking import Chunking
from unimoer_rag.retrieval.retriever import UnifiedRetriever


@pytest.fixture(scope="session")
def frozen(minilm_path: Path) -> UniMoER:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the reading head starts at random
        model = UniMoER.from_backbone("minilm", device="cpu", dtype="float32")
    with torch.no_grad():  # a reader that has learnt nothing is sure of nothing
        next(iter(model.routed_layers().values())).lora_B["read"][0, 0] = 1e-6
    return model


@pytest.fixture(scope="session")
def retriever(frozen: UniMoER) -> Iterator[UnifiedRetriever]:
    # Small chunks, so that passages begin inside their documents.
    with UnifiedRetriever(frozen, chunking=Chunking(size=20, overlap=4), rerank=10) as retriever:
        retriever.add(DOCUMENTS.values())
        yield retriever
