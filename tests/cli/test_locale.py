"""Arguments and names of files beyond ASCII, in locales that know of ASCII alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def typed(*words: str | bytes | Path, folder: Path) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "unimoer_rag.cli.main", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)


@pytest.mark.slow
def test_words_and_names_beyond_ascii(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "naïve.md").write_text("A naïve café is quiet.", encoding="utf-8")
    (docs / "shop.md").write_text("A big shop is loud.", encoding="utf-8")
    place = ("--index", "i", "--checkpoint", "minilm")
    made = typed("index", "docs", *place, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    found = typed(
        *("search", "naïve café", *place, "--mode", "sparse", "--rerank", "0", "--json"),
        folder=tmp_path,
    )
    assert b'"source": "docs/na\\u00efve.md"' in found.stdout
    assert b"shop" not in found.stdout
    listed = typed("docs", "ls", "docs/naïve.md", "--index", "i", folder=tmp_path)
    assert listed.stdout == b"docs/na\\xefve.md  (1 passage)\n"  # which ASCII does not have
