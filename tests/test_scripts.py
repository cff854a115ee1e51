"""Every script says what it does when asked, and does nothing that was not asked for."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

SCRIPTS = ROOT / "scripts"
PYTHON = sorted(SCRIPTS.glob("*.py"))


def state() -> dict[Path, int]:
    """When each page and lock was written."""
    kept = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("requirements/*")]
    return {path: path.stat().st_mtime_ns for path in kept}


def ended(path: Path, argument: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """With which code a script ends that is given an argument."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "argv", [str(path), argument])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(path), run_name="__main__")
    return caught.value.code


@pytest.mark.slow
@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_a_script_is_asked_before_it_does_anything(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state()
    assert ended(path, "--help", monkeypatch) == 0
    assert "usage: " in capsys.readouterr().out.lower()
    assert ended(path, "--no-such-option", monkeypatch) == 2
    assert capsys.readouterr().out == ""
    assert state() == before


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--no-such-option", 2)])
def test_the_script_of_the_wheel_too(argument: str, code: int) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPTS / "check_wheel.sh"), argument],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "Build the wheels" in done.stdout
