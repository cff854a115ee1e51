"""Tiny language models on disk, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from generation.tiny_llm import save_llm


@pytest.fixture(scope="session")
def llm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 whose output layer is its embedding matrix, with a long context."""
    return save_llm(tmp_path_factory.mktemp("tied"), max_position_embeddings=4096)


@pytest.fixture(scope="session")
def untied_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 with an output layer of its own."""
    return save_llm(tmp_path_factory.mktemp("untied"), tied=False)
