"""The house: rooms stand in an order, no import goes round, and others ask a room's face."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from typing import Any

import pytest
from repository import ROOT, script

from unimoer_rag.moved import MOVED

structure = script("structure")
Modules = dict[str, Any]


@pytest.fixture(scope="module")
def modules() -> Modules:
    return structure.read(ROOT)


def test_no_import_goes_round(modules: Modules) -> None:
    assert structure.circles(modules) == []


def test_arrows_point_down(modules: Modules) -> None:
    assert structure.upward(modules) == []


def test_nothing_outside_the_laboratory_imports_it(modules: Modules) -> None:
    asked = [
        (module.name, target)
        for module in modules.values()
        for target in module.imports
        if structure.room(target) == "lab" and structure.room(module.name) != "lab"
    ]
    assert asked == []


def test_what_an_application_imports_is_under_half(modules: Modules) -> None:
    reached = structure.reach(modules, structure.APPLICATION)
    assert not any(structure.room(name) in ("lab", "training", "evaluation") for name in reached)
    lines = sum(modules[name].lines for name in reached)
    assert lines < sum(module.lines for module in modules.values()) / 2


def test_rooms_are_asked_by_their_faces(modules: Modules) -> None:
    by = structure.insides(modules)
    assert {pair: count for pair, count in by.items() if count > 10} == {}


def test_no_file_is_long(modules: Modules) -> None:
    assert [m.name for m in modules.values() if m.lines > 400] == []


def test_every_room_is_in_the_order(modules: Modules) -> None:
    rooms = {structure.room(name) for name in modules} - {""}
    assert rooms <= set(structure.ROOMS)


def test_circles_and_arrows_are_found() -> None:
    def module(name: str, *imports: str) -> Any:
        return structure.Module(name, 1, list(imports), list(imports))

    made = {
        m.name: m
        for m in (
            module("unimoer_rag.model.a", "unimoer_rag.model.b", "unimoer_rag.cli.c"),
            module("unimoer_rag.model.b", "unimoer_rag.model.a"),
            module("unimoer_rag.cli.c"),
        )
    }
    assert structure.circles(made) == [["unimoer_rag.model.a", "unimoer_rag.model.b"]]
    assert structure.upward(made) == [("unimoer_rag.model.a", "unimoer_rag.cli.c")]
    assert structure.insides(made) == {("model", "cli"): 1}


@pytest.mark.slow
def test_every_old_name_finds_its_module() -> None:
    for old, now in MOVED.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = importlib.import_module(old)
        if isinstance(now, tuple):  # one that asks several
            assert found.__name__ == old
            continue
        assert found is importlib.import_module(now), old
        assert found.__spec__ is not None
        assert found.__spec__.name == found.__name__


def test_an_old_name_says_what_to_write() -> None:
    code = "import unimoer_rag.evaluation.lines as m; print(m.__name__)"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "unimoer_rag.data.lines\n"
    assert "unimoer_rag.evaluation.lines is now unimoer_rag.data.lines" in done.stderr


@pytest.mark.parametrize("old", ["unimoer_rag.evaluation.lines", "unimoer_rag.training.data"])
def test_an_old_name_that_is_run_says_what_to_run(old: str) -> None:
    done = subprocess.run([sys.executable, "-m", old], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    now = MOVED[old]
    first = now if isinstance(now, str) else now[0]
    [line] = done.stderr.strip().splitlines()
    names = now if isinstance(now, str) else " and ".join(now)
    assert line.endswith(f"{old} is now {names}: run `python -m {first}`")


def test_a_name_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("unimoer_rag.benchmarks.nothing")
