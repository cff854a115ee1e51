"""Arguments and names of files beyond ASCII, in locales that know of ASCII alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Commands that "--then" parts, one after the other: a process of each would import torch anew.
_TYPED = """
import sys
from unimoer_rag.cli.main import main

rest = sys.argv[1:]
while rest:
    end = rest.index("--then")
    sys.argv, rest = ["unimoer-rag", *rest[:end]], rest[end + 1 :]
    try:
        main()
    except SystemExit as ended:
        print(f"ended {ended.code or 0}", flush=True)
"""


def typed(*commands: tuple[str, ...], folder: Path) -> list[bytes]:
    """What commands print in a process of a locale that knows of ASCII alone."""
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    words = [word for command in commands for word in (*command, "--then")]
    done = subprocess.run(
        [sys.executable, "-c", _TYPED, *words], cwd=folder, env=env, capture_output=True, check=True
    )
    *printed, rest = done.stdout.split(b"ended 0\n")
    assert (len(printed), rest) == (len(commands), b""), done.stderr
    return printed


@pytest.mark.slow
def test_words_and_names_beyond_ascii(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "naïve.md").write_text("A naïve café is quiet.", encoding="utf-8")
    (docs / "shop.md").write_text("A big shop is loud.", encoding="utf-8")
    place = ("--index", "i", "--checkpoint", "minilm")
    sparse = ("--mode", "sparse", "--rerank", "0", "--json")
    _, found, listed = typed(
        ("index", "docs", *place),
        ("search", "naïve café", *place, *sparse),
        ("docs", "ls", "docs/naïve.md", "--index", "i"),
        folder=tmp_path,
    )
    assert b'"source": "docs/na\\u00efve.md"' in found
    assert b"shop" not in found
    assert listed == b"docs/na\\xefve.md  (1 passage)\n"  # which ASCII does not have
