"""`unimoer-rag study`, typed: a whole study of a tiny model, again, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import Command
from lab.studies.tiny_study import write_study

from unimoer_rag.lab.studies.settings import study_names


@pytest.fixture(scope="module")
def typed(run: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A study that was run, its folder, and the words that did it."""
    folder = tmp_path_factory.mktemp("study")
    data, base, study = write_study(folder)
    words = ["study", str(study), "--data", str(data), "--base", str(base)]
    words += ["--output", str(folder / "results"), "--runs", str(folder / "runs")]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "Does it run?" in done.stdout
    assert "tiny.json" in done.stdout
    return folder, words


def _result(folder: Path) -> dict[str, object]:
    kept = json.loads((folder / "results" / "tiny.json").read_text(encoding="utf-8"))
    assert isinstance(kept, dict)
    return kept


def _record(folder: Path, digest: str) -> dict[str, Any]:
    (path,) = (folder / "results" / "runs").glob(f"{digest}-*.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_the_result_is_the_sum_of_its_questions(typed: tuple[Path, list[str]]) -> None:
    kept = _result(typed[0])
    assert kept["seeds"] == [0, 1]
    assert kept["steps"] == 3
    size = kept["development"]["dev"]  # type: ignore[index]
    assert size["questions"] == 6
    assert 4 <= size["passages"] <= 24
    for variant in kept["variants"].values():  # type: ignore[attr-defined]
        for task in ("embed", "rerank"):
            records = [_record(typed[0], digest)["values"] for digest in variant["runs"]]
            by_seed = [sum(of[f"dev/{task}"]) / len(of[f"dev/{task}"]) for of in records]
            score = variant["scores"][task]
            assert score["seeds"] == pytest.approx(by_seed[: len(score["seeds"])], abs=1e-5)
            assert score["mean"] == pytest.approx(sum(by_seed) / 2, abs=1e-5)
    frozen, joint = (kept["variants"][n] for n in ("frozen", "joint"))  # type: ignore[index]
    assert len(frozen["scores"]["embed"]["seeds"]) == 1  # nothing of it depends on a seed
    assert frozen["scores"]["embed"]["low"] is None
    assert joint["scores"]["embed"]["low"] is not None
    first = kept["comparisons"][0]  # type: ignore[index]
    assert (first["first"], first["second"], first["measure"]) == ("frozen", "joint", "embed")
    assert first["difference"] == pytest.approx(
        joint["scores"]["embed"]["mean"] - frozen["scores"]["embed"]["mean"], abs=2e-5
    )
    assert first["p"] <= first["p_holm"] <= 1


@pytest.mark.slow
def test_analyses_looked_inside(typed: tuple[Path, list[str]]) -> None:
    joint = _result(typed[0])["variants"]["joint"]  # type: ignore[index]
    titles = [panel["title"] for panel in joint["panels"]]
    for words in ("Gradients of embed and rerank, by layer", "Each expert alone",
                  "Entropy of the routing", "Likeness of tasks (CKA)",
                  "Effective rank of the updates"):  # fmt: skip
        assert words in titles
    probed = next(p for p in joint["panels"] if p["title"] == "Each expert alone")["series"]
    as_trained = {point["x"]: point["mean"] for point in probed["as trained"]}
    for task in ("embed", "rerank"):
        assert as_trained[task] == pytest.approx(joint["scores"][task]["mean"], abs=2e-5)
    load = [n["mean"] for name, n in joint["numbers"].items() if name.startswith("load of")]
    assert sum(load) == pytest.approx(1.0, abs=1e-4)


def test_run_again_it_trains_nothing(typed: tuple[Path, list[str]], run: Command) -> None:
    folder, words = typed
    before = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/train/state.safetensors")}
    assert len(before) == 4  # two variants at two seeds; the frozen one trains nothing
    again = run(*words, "--json")
    assert again.exit_code == 0, again.output
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert json.loads(again.stdout) == _result(folder)


@pytest.mark.slow
def test_a_smaller_trial(typed: tuple[Path, list[str]], run: Command, tmp_path: Path) -> None:
    words = [*typed[1][:6], "--output", str(tmp_path), "--runs", str(typed[0] / "runs")]
    done = run(*words, "--seeds", "1", "--steps", "2", "--questions", "3", "--json")
    assert done.exit_code == 0, done.output
    small = json.loads(done.stdout)
    assert (small["seeds"], small["steps"]) == ([1], 2)
    assert small["development"]["dev"]["questions"] == 3
    assert small["command"].endswith("tiny --data DATA --seeds 1 --steps 2 --questions 3")
    assert small["variants"]["joint"]["scores"]["embed"]["low"] is None  # one seed says no more


@pytest.mark.slow
def test_the_report(typed: tuple[Path, list[str]], run: Command, tmp_path: Path) -> None:
    results = typed[0] / "results"
    page = tmp_path / "page.html"
    assert run("study", "report", "--output", results, "--html", page).exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "Does it run?" in html
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html
    markdown = run("study", "report", "--output", results, "--markdown").stdout
    assert "| joint - frozen | embed |" in markdown
    assert "Differences" in run("study", "report", "--output", results).stdout
    missing = run("study", "report", "--output", tmp_path / "nowhere")
    assert missing.exit_code == 1
    assert "nowhere" in missing.stderr


def test_the_studies_are_listed(run: Command) -> None:
    listed = json.loads(run("study", "ls", "--json").stdout)
    assert [study["name"] for study in listed] == list(study_names())
    assert listed[0]["name"] == "interference"
    assert "routers" in run("study", "ls").stdout


def test_what_cannot_be_run(typed: tuple[Path, list[str]], run: Command, tmp_path: Path) -> None:
    unknown = run("study", "alchemy", "--data", tmp_path)
    assert unknown.exit_code == 1
    assert "interference" in unknown.stderr
    missing = run("study", "interference", "--data", tmp_path, "--runs", tmp_path / "runs")
    assert missing.exit_code == 1
    assert str(tmp_path) in missing.stderr
    assert run(*typed[1], "--seeds", "one").exit_code == 2
