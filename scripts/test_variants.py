"""The suite as other machines see it: other instructions, other numbers of threads, another order.

One run of pytest a variant, with its time; exits 1 if any fails.

    python scripts/test_variants.py [tests ...] [--only NAME] [--fast]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
_RANDOM = ["-p", "randomly"]
# More threads than cores: those that wait must not take the cores from those that work.
_WAITING = {"OMP_WAIT_POLICY": "passive"}
# Each number of threads, each set of instructions and a random order at least once.
VARIANTS: dict[str, tuple[dict[str, str], list[str]]] = {
    "1-thread": ({"OMP_NUM_THREADS": "1"}, []),
    "2-threads-avx2-random": ({"OMP_NUM_THREADS": "2", **_AVX2}, _RANDOM),
    "8-threads-default-isa": ({"OMP_NUM_THREADS": "8", "ATEN_CPU_CAPABILITY": "default"}, []),
}


def run(name: str, tests: list[str], workers: str) -> bool:
    """Run the tests as the variant says; print what came of it."""
    environment, options = VARIANTS[name]
    began = time.perf_counter()
    code = subprocess.run(
        [
            sys.executable, "-m", "pytest", "--numprocesses", workers, "--maxprocesses", "4",
            "--dist", "loadfile", "--no-loadscope-reorder", *options, *tests,
        ],
        cwd=ROOT,
        env={**os.environ, **_WAITING, **environment},
        check=False,
    ).returncode  # fmt: skip
    minutes, seconds = divmod(round(time.perf_counter() - began), 60)
    print(f"{name}: {'passed' if code == 0 else 'FAILED'} in {minutes} min {seconds} s", flush=True)
    return code == 0


def main() -> None:
    """Run the variants asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", default=["tests"])
    parser.add_argument("--only", choices=VARIANTS, action="append")
    parser.add_argument("--workers", default="auto")
    parser.add_argument("--fast", action="store_true", help="leave out what is marked slow")
    options = parser.parse_args()
    names = options.only or list(VARIANTS)
    tests = [*options.tests, *(["-m", "not slow"] if options.fast else [])]
    passed = [run(name, tests, options.workers) for name in names]
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
