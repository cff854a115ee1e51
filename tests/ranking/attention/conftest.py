"""A tiny language model on disk, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from generation.tiny_llm import save_llm
from ranking.attention.reference import Reference, load

from unimoer_rag.generation import LocalLLM


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("attention"), max_position_embeddings=4096)


@pytest.fixture(scope="session")
def reference(folder: Path) -> Reference:
    return Reference(folder)


@pytest.fixture
def llm(folder: Path) -> LocalLLM:
    return load(folder)
