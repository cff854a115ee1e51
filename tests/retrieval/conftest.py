from __future__ import annotations

from pathlib import Path

import pytest

from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture(scope="module")
def minilm(minilm_path: Path) -> UniMoER:
    """The frozen backbone, in float32 on the CPU; tests leave it as it is."""
    return UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")
