#!/usr/bin/env python3
"""Run the tests that are not slow under each Python from 3.11 to 3.14 that is found here.

python scripts/check_pythons.py [VERSION ...]

Each gets an environment of its own in `.pythons/VERSION`, of the locked packages. One that is not
here, or has no torch yet, is named and skipped. Exits 1 if a test fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
TORCH = re.search(r"^TORCH := (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def find(version: str) -> str | None:
    """An interpreter of this version: on the path, or among pyenv's."""
    for candidate in (
        shutil.which(f"python{version}"),
        *map(
            str,
            Path(os.environ.get("PYENV_ROOT", "/nowhere")).glob(f"versions/{version}.*/bin/python"),
        ),
    ):
        if candidate and f"{version}." in _run([candidate, "--version"]).stdout:
            return candidate
    return None


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def install(interpreter: str, folder: Path) -> str:
    """Make the environment; what went wrong in one line, or ""."""
    if (folder / ".done").is_file():
        return ""
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    assert TORCH is not None
    for words in (
        [interpreter, "-m", "venv", "--clear", str(folder)],
        [*pip, TORCH[1]],
        [*pip, "--no-deps", "--require-hashes", "-r", "requirements/dev.lock"],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", "."],
    ):
        done = _run(words)
        if done.returncode:
            return (done.stderr or done.stdout).strip().splitlines()[-1]
    (folder / ".done").touch()
    return ""


def check(version: str) -> bool:
    """Whether the tests pass, or cannot be run here; prints which."""
    interpreter = find(version)
    if interpreter is None:
        print(f"python {version}: not here", flush=True)
        return True
    folder = ROOT / ".pythons" / version
    if problem := install(interpreter, folder):
        print(f"python {version}: NOT RUN, its packages cannot be installed: {problem}", flush=True)
        return True
    done = _run(
        [
            str(folder / "bin/python"), "-m", "pytest", "-m", "not slow", "--numprocesses", "auto",
            "--maxprocesses", "4", "--dist", "loadfile", "-p", "no:cacheprovider", "tests",
        ]
    )  # fmt: skip
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
    counts = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", done.stdout)
    print(f"python {version}: {', '.join(counts) or 'no tests ran'}", flush=True)
    return done.returncode == 0


def main() -> int:
    """Check every version asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="*", default=VERSIONS, metavar="VERSION")
    passed = [check(version) for version in parser.parse_args().versions]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
