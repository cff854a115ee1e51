"""A tiny backbone, a toy data folder and what a run makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from training.toy import save_backbone, write_toy

from unimoer_rag.evaluation.datasets import BeirDataset, load_beir


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny encoder."""
    return save_backbone("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that holds the toy data set."""
    folder = tmp_path_factory.mktemp("data")
    write_toy(folder / "toy")
    return folder


@pytest.fixture(scope="session")
def toy(toy_data: Path) -> BeirDataset:
    """The toy data set's training split."""
    return load_beir(toy_data / "toy", "train")
