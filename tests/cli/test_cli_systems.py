"""`unimoer-rag eval --system`: baselines through the same command."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from cli_helpers import Command
from repository import ROOT, script

SCRIPT = ROOT / "scripts" / "compare_systems.py"


@pytest.mark.slow
def test_bm25_finds_by_words_and_a_reader_answers(run: Command, dataset: Path) -> None:
    words = ("eval", "--system", "bm25", "--data", dataset, "--split", "dev", "--json", "-")
    result = run(*words, "--limit", 4)
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    assert (measured["system"], measured["first_stage"]) == ("bm25", "sparse")
    assert measured["retrieval"]["nDCG@10"] > 0.9
    assert measured["rerank"] == {}
    assert measured["reader"]["checkpoint"] == "unimoer-minilm"
    assert measured["answers"]["n"] == 4
    # Only the reader is in memory; without answers nothing is.
    assert measured["memory_mb"]["model"] > 40
    result = run(*words, "--parts", "retrieval")
    assert json.loads(result.stdout)["memory_mb"]["model"] == 0


@pytest.mark.slow
def test_a_backbone_rescores_a_run_by_cosine(run: Command, dataset: Path, tmp_path: Path) -> None:
    lines = [f"q{n} Q0 d{d} {d + 1} {1 / (d + 1)} bm25" for n in range(10) for d in range(5)]
    (tmp_path / "run.trec").write_text("\n".join(lines), encoding="utf-8")
    words = ("eval", "--system", "backbone-cosine", "--data", dataset, "--split", "dev")
    result = run(*words, "--parts", "retrieval,rerank", "--run", tmp_path / "run.trec")
    assert result.exit_code == 0, result.stderr
    assert "backbone-cosine on micro dev" in result.stdout
    assert "minilm" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--system", "bm52"), "unknown system 'bm52': expected one of unimoer, bm25"),
        (("--system", "bm25", "--embedder", "minilm"), "'bm25' has no embedder to choose"),
        (("--system", "bm25", "--checkpoint", "minilm"), "'bm25' has no checkpoint to choose"),
        (("--system", "bm25", "--mode", "dense"), "the first stage must be 'sparse'"),
        (("--reader", "unimoer-minilm"), "'unimoer' reads answers itself"),
        (("--system", "task-lora"), "'task-lora' needs embedder and reranker"),
        (("--system", "two-models", "--reranker", "owner/name"), "downloads are pinned"),
        (("--system", "backbone", "--embedder", "nowhere"), "unknown backbone 'nowhere'"),
    ],
)
def test_wrong_choices(run: Command, dataset: Path, words: tuple[str, ...], said: str) -> None:
    parts = ("--data", dataset, "--split", "dev", "--parts", "retrieval")
    result = run("eval", *parts, *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in " ".join(result.stderr.split())


def test_models_are_checked_before_the_data(run: Command, tmp_path: Path) -> None:
    """The data may have to be downloaded first."""
    for words in (("--system", "task-lora"), ("--system", "bm25", "--embedder", "minilm")):
        result = run("eval", "--data", tmp_path / "nowhere", *words)
        assert result.exit_code == 1
        assert words[1] in result.stderr
        assert "nowhere" not in result.stderr


@pytest.fixture
def compare_systems() -> ModuleType:
    return script("compare_systems")


def test_results_of_other_options_are_other_files(compare_systems: ModuleType) -> None:
    files = {
        compare_systems.target(Path("out"), system, Path("nq"), "dev", options).as_posix()
        for system, options in (("bm25", ""), ("bm25", "--limit 10"), ("bm25 --seed 1", ""))
    }
    assert files == {
        "out/nq-dev/bm25.json",
        "out/nq-dev/bm25-limit-10.json",
        "out/nq-dev/bm25-seed-1.json",
    }


@pytest.mark.slow
def test_one_command_compares_systems(
    compare_systems: ModuleType, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    systems = ["bm25 --seed 1", "bm52"]
    words = ["--data", str(dataset), "--out", str(tmp_path), "--options", "--parts retrieval"]
    assert compare_systems.main([*words, *systems]) == 1  # one is unknown
    first = capfd.readouterr()
    assert "unknown system 'bm52'" in first.err
    assert "not measured: bm52" in first.err
    [file] = tmp_path.rglob("*.json")
    assert str(file.relative_to(tmp_path)) == "micro-dev/bm25-seed-1-parts-retrieval.json"
    assert json.loads(file.read_text())["command"] == (
        "unimoer-rag eval --data DIR/micro --split dev --system bm25 --seed 1 --parts retrieval "
        "--json OUT"
    )
    written = file.stat().st_mtime_ns
    assert compare_systems.main([*words, systems[0]]) == 0
    again = capfd.readouterr()
    assert "is there already" in again.err
    assert file.stat().st_mtime_ns == written
    assert "bm25" in first.out
    assert again.out == first.out


@pytest.mark.slow
def test_a_summary_keeps_each_system_once(
    compare_systems: ModuleType, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "systems.json"
    words = ["--data", str(dataset), "--out", str(tmp_path / "out"), "--summary", str(kept)]
    options = ["--options", "--parts retrieval,rerank"]
    assert compare_systems.main([*words, *options, "bm25"]) == 0
    first = json.loads(kept.read_text())
    assert compare_systems.main([*words, *options, "bm25", "unimoer"]) == 0
    capfd.readouterr()
    rows = json.loads(kept.read_text())
    assert [row["system"] for row in rows] == ["bm25", "unimoer"]
    bm25, ours = (row for row in rows)
    assert bm25["retrieval"] == first[0]["retrieval"]
    assert "against_ours" not in ours
    file = next((tmp_path / "out").rglob("unimoer*.json"))
    result = json.loads(file.read_text())
    interval = result["intervals"]["rerank"]["nDCG@10"]
    assert ours["rerank"] == [result["rerank"]["nDCG@10"], interval["low"], interval["high"]]
