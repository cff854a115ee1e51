"""`scripts/gpu.py`: what waits for a GPU is planned without one, timed, and not done twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT, script

from unimoer_rag.lab.commands.bench import NAMES
from unimoer_rag.lab.studies.settings import find_base, find_study

gpu = script("gpu")
PYTHON = Path(sys.executable)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "facts", lambda python: {"device": "cpu"})


def step(code: str, **changes: Any) -> Any:
    words = {"limit": 60, **changes}
    return gpu.Step("one", "a step", ("-c", code, "{to}"), **words)


WRITES = "import sys; open(sys.argv[1] + '/out.json', 'w').write('{\"ratio\": 2}'); print('did')"


def test_all_of_it_fits_into_its_time() -> None:
    steps = gpu.plan(data=Path("d"), decoder="x", weights=True)
    assert gpu.SETUP + sum(s.limit for s in steps) <= gpu.BUDGET == 25 * 60
    assert len({s.name for s in steps}) == len(steps)


@pytest.mark.parametrize("tiny", [False, True])
def test_steps_name_what_there_is(tiny: bool) -> None:
    for each in gpu.plan(data=Path("d"), decoder="x", weights=True, device="cpu", tiny=tiny):
        if "bench" in each.words:
            assert each.words[each.words.index("bench") + 1] in NAMES
            assert ("--quick" in each.words) is tiny
        named = [w for w in each.words if w.startswith(("tests/", "scripts/", "training/"))]
        assert all((ROOT / w).is_file() for w in named)
        assert ("{to}" in " ".join(each.words)) is bool(each.writes)


def test_the_study_fits_the_base_for_decoders() -> None:
    base, study = find_base(str(ROOT / "training/bases/decoder.yaml")), find_study("interference")
    for variant in study.variants:
        assert study.recipe(base, variant, seed=0).backbone == "qwen3-0.6b-base"
    assert any(one.held_out for one in base.development.values())  # which the gate asks


def test_without_weights_speed_alone_is_measured() -> None:
    by_name = {s.name: s for s in gpu.plan(data=None, decoder="some-decoder", weights=False)}
    assert "random weights: its speed alone" in by_name["training"].about
    assert "--backbone" not in by_name["training"].words
    assert (
        "no trained weights are here (--decoder, now some-decoder)"
        in by_name["interference"].without
    )
    assert "no data sets are here" in by_name["interference"].without


def test_without_a_gpu_it_says_what_it_would_do(tmp_path: Path) -> None:
    code = (
        "import runpy, sys, shutil; shutil.os.environ['PATH'] = ''\n"
        f"sys.argv = ['gpu.py', '--output', {str(tmp_path / 'out')!r}]\n"
        "try: runpy.run_path('scripts/gpu.py', run_name='__main__')\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("no NVIDIA GPU here; with one, it would run:\n")
    assert "bench decoder --device cuda" in done.stdout
    steps = gpu.plan(data=None, decoder="some-decoder", weights=False)
    assert f"together {sum(step.limit for step in steps)} s at most" in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_step_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    until = time.monotonic() + 100
    assert gpu.work([step(WRITES, writes="out.json")], PYTHON, tmp_path, until) == 0
    written = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert written["found"] == {"ratio": 2}
    assert written["machine"] == {"device": "cpu"}
    assert str(tmp_path) not in written["command"]
    capsys.readouterr()
    assert gpu.work([step("raise SystemExit(1)")], PYTHON, tmp_path, until) == 0
    assert capsys.readouterr().out == "one: done before\n"


def test_a_step_without_a_file_keeps_what_it_said(tmp_path: Path) -> None:
    assert gpu.do(step("print('3 passed')"), PYTHON, tmp_path)["found"] == ["3 passed"]


def test_a_failure_is_told_and_tried_again(tmp_path: Path) -> None:
    failing = step("raise SystemExit('no kernels')")
    assert gpu.work([failing], PYTHON, tmp_path, time.monotonic() + 100) == 1
    assert "no kernels" in json.loads((tmp_path / "one.json").read_text("utf-8"))["error"]
    assert not gpu.is_done(failing, tmp_path)


def test_time_ends_a_step_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "print('begun', flush=True); subprocess.run([sys.executable, '-c', 'input()'])\n"
        "time.sleep(60)"
    )
    started = time.monotonic()
    told = gpu.do(step(code, limit=1), PYTHON, tmp_path)
    assert "its 1 seconds were up" in told["error"]
    assert time.monotonic() - started < 30


def test_what_does_not_fit_waits_for_the_next_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [step(WRITES, limit=100), step(WRITES, without="no data")]
    assert gpu.work(steps, PYTHON, tmp_path, time.monotonic() + 50) == 0
    assert capsys.readouterr().out.splitlines() == [
        "one: no time left for its 100 s, call again",
        "one: not run, no data",
    ]
    assert not list(tmp_path.iterdir())


def test_what_is_installed_is_what_the_steps_import() -> None:
    names = [word.split("=")[0].split(">")[0] for word in gpu.requirements()]
    assert {"torch", "accelerate", "sentence-transformers", "scipy", "pytest"} <= set(names)
    assert not [name for name in names if name.startswith("unimoer-rag")]


@pytest.mark.slow
def test_training_is_measured_on_a_decoder_of_random_weights(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    out = tmp_path / "out.json"
    script("measure_training").main(
        out, backbone=None, data=None, recipe="qwen3-0.6b", size="tiny", steps=2, passages=1000
    )
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["backbone"] == "random, of the size tiny"
    assert len(found["losses"]) == len(found["seconds"]) == 2
    assert {"embed/info-nce", "rerank/lce"} < set(found["losses"][0])
    low, high = found["tokens_a_second_quartiles"]
    assert low <= found["tokens_a_second"] <= high
