"""The distributions named for frameworks: metadata that bring the library, and no module."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from repository import ROOT

PACKAGES = sorted((ROOT / "integrations" / "packages").iterdir())
LLAMA_INDEX = [package for package in PACKAGES if package.name.startswith("llama-index")]


def declared(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


LIBRARY = declared(ROOT)["project"]


def named(package: Path) -> str:
    return package.name


def test_there_is_one_for_each_place_of_the_adapters() -> None:
    assert list(map(named, PACKAGES)) == [
        "dspy-unimoer",
        "langchain-unimoer",
        "llama-index-embeddings-unimoer",
        "llama-index-indices-managed-unimoer",
        "llama-index-llms-unimoer",
        "llama-index-postprocessor-unimoer-rerank",
        "llama-index-response-synthesizers-unimoer",
        "llama-index-retrievers-unimoer",
        "llama-index-sparse-embeddings-unimoer",
        "unimoer-haystack",
    ]


@pytest.mark.parametrize("package", PACKAGES, ids=named)
def test_metadata_agree_with_the_library(package: Path) -> None:
    project = declared(package)["project"]
    assert project["name"] == package.name
    for key in ("version", "license", "requires-python", "authors", "classifiers"):
        assert project[key] == LIBRARY[key], key
    (needed,) = map(Requirement, project["dependencies"])
    assert (needed.name, str(needed.specifier)) == ("unimoer-rag", f"=={LIBRARY['version']}")
    (extra,) = needed.extras
    assert extra in package.name
    assert extra in LIBRARY["optional-dependencies"]
    assert all(url.startswith("https://") for url in project["urls"].values())
    assert project["description"] in (package / project["readme"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("package", LLAMA_INDEX, ids=named)
def test_llamahub_is_told_what_can_be_imported(package: Path) -> None:
    hub = declared(package)["tool"]["llamahub"]
    assert hub["import_path"].startswith("llama_index.")
    module = importlib.import_module(hub["import_path"])
    assert sorted(hub["class_authors"]) == sorted(module.__all__)
    # What LlamaIndex's users derive the name of a package from.
    assert hub["import_path"].replace(".", "_").replace("_", "-") == package.name


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=named)
def test_a_wheel_has_nothing_that_another_could_have(package: Path, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    words = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(package))
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    own = f"{package.name.replace('-', '_')}-{LIBRARY['version']}.dist-info/"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.namelist()
        assert all(name.startswith(own) for name in archive.namelist())
