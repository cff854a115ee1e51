"""What the pages say to install: the lines are right, and that of the README installs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "first_steps.ipynb"),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "integrations" / "packages").glob("*/README.md")),
]


def installs(page: Path) -> list[str]:
    """What stands behind `pip install` on a page, up to the end of the line or of the code."""
    text = page.read_text(encoding="utf-8").replace('\\"', '"').replace("\\n", "\n")
    return re.findall(r"pip install ([^`#\n]+)", text)


FROM_A_REPOSITORY = re.findall(r"^pip install '(.* @ .*)'$", (ROOT / "README.md").read_text(), re.M)
WITH_LINES = [page for page in PAGES if installs(page)]


@pytest.mark.parametrize("page", WITH_LINES, ids=lambda page: str(page.relative_to(ROOT)))
def test_extras_that_pages_install_are_there(page: Path) -> None:
    for line in installs(page):
        for name, extras in re.findall(r"([\w.+/-]+)\[([\w,-]+)\]", line):
            wheel = f"./unimoer_rag-{PROJECT['version']}-py3-none-any.whl"
            assert name in ("unimoer-rag", ".", wheel), line
            unknown = set(extras.split(",")) - PROJECT["optional-dependencies"].keys()
            assert not unknown, f"{line}: no such extra"
            assert re.search(rf"""['"]{re.escape(name)}\[""", line), f"{line}: quote the brackets"


def test_the_pages_install_the_torch_that_is_tested() -> None:
    pins = {
        pin
        for page in PAGES
        for line in installs(page)
        for pin in re.findall(r"torch==(\S+)", line)
    }
    workflow = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert len(pins) == 1
    assert f"torch=={pins.pop()}" in workflow


def test_addresses_are_those_of_a_repository() -> None:
    """A direct reference is `NAME[EXTRAS] @ git+https://...`, as pip reads it."""
    found = [
        requirement
        for page in PAGES
        for line in installs(page)
        for requirement in re.findall(r"""['"](unimoer-rag\[[^'"]* @ git[^'"]+)['"]""", line)
    ]
    assert len(found) >= 2
    assert FROM_A_REPOSITORY  # else nothing would be installed below
    for line in found:
        read = Requirement(line.replace("<address of this repository>", "example.org/unimoer-rag"))
        assert (read.name, read.url) == ("unimoer-rag", "git+https://example.org/unimoer-rag")


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository to install from")
@pytest.mark.parametrize("line", FROM_A_REPOSITORY, ids=lambda line: line.split(" @")[0])
def test_the_readme_installs_from_a_repository(line: str, tmp_path: Path) -> None:
    """As written there, with this repository's address; what is installed already serves it."""
    pytest.importorskip("hatchling")
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
