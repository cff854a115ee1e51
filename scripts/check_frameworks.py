#!/usr/bin/env python3
"""Run each framework's tests with the lowest and the highest version that is declared.

python scripts/check_frameworks.py

A version is installed alone into a scratch folder that goes before the environment's packages, so
that the rest of the environment stays as it is. Exits 1 if a test fails.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What is tested is this checkout, whatever the environment has installed.
OURS = (ROOT, ROOT / "integrations")

# The lowest and the highest version that is tested, and the tests. A test of the documentation
# compares them with the ranges in pyproject.toml.
FRAMEWORKS = {
    "langchain-core": (("1.7.0", "1.8.2"), "tests/integrations/langchain"),
    "llama-index-core": (("0.14.0", "0.14.25"), "tests/integrations/llama_index"),
}

# Old releases make a newer pydantic warn when they are imported. What is slow starts processes, in
# which a version of the framework changes little.
OPTIONS = (
    *("-m", "not slow", "-p", "no:cacheprovider"),
    *("-W", "ignore:The 'validate_default' attribute"),
)


def check(package: str, version: str, tests: str) -> bool:
    """Whether the tests pass with this version; prints how they ended."""
    pip = (sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    with tempfile.TemporaryDirectory() as overlay:
        subprocess.run(
            [*pip, "--no-deps", "--target", overlay, f"{package}=={version}"], check=True
        )
        done = run_tests(tests, package, version, overlay)
    passed = done.returncode == 0
    if not passed:
        print(done.stdout[-4000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
    counts = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", done.stdout)
    print(f"{package} {version}: {', '.join(counts) or 'no tests ran'}", flush=True)
    return passed and bool(counts)


def run_tests(
    tests: str, package: str, version: str, overlay: str
) -> subprocess.CompletedProcess[str]:
    """The tests in a process that finds the overlay's packages first, and makes sure it does."""
    code = (
        "import sys, pytest; from importlib.metadata import version\n"
        f"assert version({package!r}) == {version!r}, version({package!r})\n"
        f"sys.exit(pytest.main({[*OPTIONS, tests]!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([overlay, *map(str, OURS)])},
        capture_output=True,
        text=True,
        check=False,
    )


def main() -> int:
    """Check every framework at both versions."""
    results = [
        check(package, version, tests)
        for package, (versions, tests) in FRAMEWORKS.items()
        for version in versions
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(main())
