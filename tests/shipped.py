"""Whether the default checkpoint is in the package; tests that need its answers ask here."""

from __future__ import annotations

from pathlib import Path

import pytest

import unimoer_rag

_HOME = Path(unimoer_rag.__file__).parent / "checkpoints" / "unimoer-minilm"

needs_shipped = pytest.mark.skipif(
    not (_HOME / "adapter_config.json").is_file(),
    reason="the checkpoint unimoer-minilm is not in the package yet",
)
