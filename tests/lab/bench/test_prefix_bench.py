"""The benchmark of shared prefixes, run for real on a small decoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app

WORDS = ["bench", "prefix", "--documents", "6", "--tokens", "40", "--layers", "2", "--width", "128"]


@pytest.mark.slow
def test_shared_beginnings_save_the_operations_that_they_should(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*WORDS, "--json", str(tmp_path / "o.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    whole, once = (found["others"][name]["operations"] for name in ("whole rows", "query once"))
    assert whole > once > found["ours"]["operations"]
    assert found["operations_ratio_shared"] == pytest.approx(whole / once, abs=1e-3)
    # 40 tokens and a frame of 6; 2 layers and the last state, of 128 numbers each.
    numbers = 6 * (40 + 6) * 3 * 128
    assert found["kept_bytes"] in (2 * numbers, 4 * numbers)
    assert set(found["seconds"]) == {"whole rows", "query once", "documents kept"}


@pytest.mark.parametrize(
    ("option", "message"), [("--rounds", "rounds is 2"), ("--width", "width is 2")]
)
def test_settings_that_cannot_be_used_are_named(option: str, message: str) -> None:
    done = CliRunner().invoke(app, [*WORDS, option, "2"])
    assert done.exit_code == 1
    assert message in done.stderr
