"""Resolve the environments of `make demo` and `make test`, with the hash of every file.

One resolution serves every system and Python from 3.11 on. Torch is left out: which build of it
fits is the machine's affair, so the Makefile installs it first.

Run as `make lock`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The lock's name, the extra that it holds, and the lock whose versions it takes.
ENVIRONMENTS = (("dev", "dev", None), ("demo", "minilm", "dev"))


def lock(name: str, extra: str, like: str | None) -> None:
    """Write `requirements/NAME.lock` for one extra, and what builds the package itself."""
    file = Path("requirements") / f"{name}.lock"
    constraint = [] if like is None else ["--constraint", f"requirements/{like}.lock"]
    subprocess.run(
        [
            sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml",
            "requirements/build.in", "--extra", extra, "--universal", "--python-version", "3.11",
            "--generate-hashes", "--no-emit-package", "torch", "--no-annotate", "--quiet",
            "--custom-compile-command", "make lock", "--upgrade", "--output-file", str(file),
            *constraint,
        ],
        cwd=ROOT,
        check=True,
    )  # fmt: skip
    print(f"{file}: {(ROOT / file).read_text(encoding='utf-8').count('==')} packages")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for environment in ENVIRONMENTS:
        lock(*environment)
