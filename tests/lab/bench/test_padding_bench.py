"""The benchmark of batches without padding, run for real on few passages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app
from unimoer_rag.model.unimoer import UniMoER


@pytest.mark.slow
def test_both_ways_embed_the_same(minilm_path: Path, tmp_path: Path) -> None:
    words = ["bench", "padding", "--passages", "12", "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--json", str(tmp_path / "o.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert set(found["seconds"]) == {"padded", "without padding"}
    assert found["furthest_cosine"] > 0.999
    assert 0 < found["padding"] < 0.5
    assert not found["kernels"]
    # It measures a model of its own.
    assert not UniMoER.from_pretrained("unimoer-minilm", device="cpu").unpadded
