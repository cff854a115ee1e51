"""The components beside others of their namespace, without the framework, and without reports."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

HOMES = {
    "UniMoERTextEmbedder": "haystack_integrations.components.embedders.unimoer",
    "UniMoERRanker": "haystack_integrations.components.rankers.unimoer",
    "UniMoERReader": "haystack_integrations.components.readers.unimoer",
    "UniMoERRetriever": "haystack_integrations.components.retrievers.unimoer",
}
# As on a machine without it: nothing finds haystack, our own folders are found.
_BLOCKED = """
import sys

class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "haystack":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("home", HOMES.values())
def test_the_folders_are_shared_with_other_integrations(home: str) -> None:
    parts = home.split(".")
    for n in range(1, len(parts)):
        namespace = importlib.import_module(".".join(parts[:n]))
        assert namespace.__file__ is None, "no other integration could be imported"
        ours = ROOT / "integrations" / Path(*parts[:n])
        assert not (ours / "__init__.py").exists()
        assert not (ours / "py.typed").exists(), "other integrations have that file"
    assert (ROOT / "integrations" / Path(*parts) / "py.typed").is_file()


def test_another_integration_is_imported_beside_ours() -> None:
    ours = importlib.import_module("haystack_integrations.components.retrievers.unimoer")
    other = importlib.import_module("haystack_integrations.components.retrievers.qdrant")
    places = {Path(str(module.__file__)).parents[3] for module in (ours, other)}
    assert len(places) == 2
    namespace = importlib.import_module("haystack_integrations.components.retrievers")
    assert {place / "components" / "retrievers" for place in places} <= set(
        map(Path, namespace.__path__)
    )


@pytest.mark.slow
def test_importing_needs_no_torch_and_ours_may_come_first() -> None:
    lines = ["import sys", "sys.modules['torch'] = None"]  # which cannot be imported then
    lines += [f"from {home} import {name}" for name, home in HOMES.items()]
    run("\n".join([*lines, "import haystack_integrations.components.retrievers.qdrant"]))


def test_without_the_framework_the_extra_is_named() -> None:
    code = [_BLOCKED, "from unimoer_rag.errors import MissingExtraError"]
    for name, home in HOMES.items():
        code += ["try:", f"    from {home} import {name}"]
        code += ["except MissingExtraError as error:", "    print(error)"]
    assert run("\n".join(code)).splitlines() == [
        f"{name} needs the package 'haystack', which is not installed: "
        "pip install 'unimoer-rag[haystack]'"
        for name in HOMES
    ]


def test_nothing_is_reported_to_the_frameworks_makers() -> None:
    telemetry = importlib.import_module("haystack.telemetry._telemetry")
    assert telemetry.telemetry is None
