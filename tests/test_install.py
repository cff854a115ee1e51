"""The line of the README that installs the package from its repository."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository to install from")
def test_the_readme_installs_from_a_repository(tmp_path: Path) -> None:
    """As written there, with this repository's address; what is installed already serves it."""
    pytest.importorskip("hatchling")
    (line,) = re.findall(r"^pip install '(.* @ .*)'$", (ROOT / "README.md").read_text(), re.M)
    here = ROOT.as_uri().replace("file://", "git+file://localhost")  # older pips want a host
    requirement = line.replace("git+https://<address of this repository>", here)
    assert requirement != line
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    words = ("-m", "pip", "install", "-q", *options, "--target", str(tmp_path), requirement)
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    package = tmp_path / "unimoer_rag"
    assert (package / "_presets" / "handbook" / "returns-and-refunds.md").is_file()
    assert (package / "checkpoints" / "unimoer-minilm" / "adapter_config.json").is_file()
