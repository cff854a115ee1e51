"""`unimoer-rag calibrate`, and what takes its file: search, ask, eval, bench auto."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command

MINILM = ("--checkpoint", "minilm")


@pytest.fixture(scope="module")
def thresholds(run: Command, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("calibrate") / "thresholds.json"
    words = ("calibrate", "--data", dataset, "--split", "dev", "--modes", "dense,hybrid")
    result = run(*words, "--depth", 5, "--loss", 0.1, "--out", file, *MINILM)
    assert result.exit_code == 0, result.output
    assert "micro, hybrid" in result.stdout
    return file


@pytest.mark.slow
def test_the_file_says_what_was_chosen_and_how_it_did(thresholds: Path) -> None:
    values = json.loads(thresholds.read_text())
    auto = values["auto_rerank"]
    assert auto["dense"] is not None
    assert auto["sparse"] is None
    assert auto["depth"] == 5
    assert len(auto["checkpoint"]) == 64
    assert values["loss"] == 0.1
    row = values["cross_validated"]["dense"]["micro"]
    assert row["questions"] == 10
    assert 0 <= row["share_skipped"] <= 1
    assert row["loss_low"] <= row["loss"] <= row["loss_high"]
    assert values["command"].startswith("unimoer-rag")


@pytest.mark.slow
def test_it_is_printed_without_a_file(run: Command, dataset: Path) -> None:
    words = ("calibrate", "--data", dataset, "--split", "dev", "--limit", 6, "--depth", 5)
    values = json.loads(run(*words, *MINILM).stdout)
    assert values["cross_validated"]["dense"]["micro"]["questions"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("command", [("calibrate",), ("bench", "auto", "--dev", "{dataset}")])
def test_they_tell_of_their_progress_without_a_terminal(
    run: Command, dataset: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unimoer_rag.cli.output._EVERY", 0.0)  # seconds between two lines
    words = [word.format(dataset=dataset) for word in command]
    result = run(*words, "--data", dataset, "--split", "dev", "--depth", 5, *MINILM)
    assert result.exit_code == 0, result.output
    told = result.stderr.splitlines()
    assert "indexing micro: 10 of 10" in told
    assert "micro, dense: 10 of 10" in told


@pytest.mark.slow
def test_search_and_ask_take_the_file(run: Command, indexed: Path, thresholds: Path) -> None:
    words = ("--index", indexed, *MINILM, "--rerank", thresholds, "--json")
    hits = json.loads(run("search", "when are refunds paid?", *words).stdout)
    assert hits[0]["source"] == "docs/refunds.md"
    answer = json.loads(run("ask", "When are refunds paid?", *words).stdout)
    assert all(hit["rerank"] is not None for hit in answer["hits"])


@pytest.mark.slow
def test_eval_tells_what_was_skipped(run: Command, dataset: Path, thresholds: Path) -> None:
    words = ("eval", "--data", dataset, "--split", "dev", *MINILM, "--json", "-")
    results = [
        json.loads(run(*words, "--parts", "retrieval,rerank", "--rerank", rerank).stdout)
        for rerank in (5, thresholds)
    ]
    always, auto = results
    threshold = json.loads(thresholds.read_text())["auto_rerank"]["dense"]
    assert "auto_rerank" not in always
    assert auto["rerank_depth"] == 5
    assert auto["auto_rerank"]["threshold"] == threshold
    share = auto["auto_rerank"]["share_skipped"]
    assert share == auto["auto_rerank"]["skipped"] / 10
    lost = always["rerank"]["nDCG@10"] - auto["rerank"]["nDCG@10"]
    assert lost <= 0.1 * always["rerank"]["nDCG@10"] + 1e-9


@pytest.mark.slow
def test_bench_auto(run: Command, dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "auto.json"
    words = ("bench", "auto", "--dev", dataset, "--data", dataset, "--depth", 5, "--loss", 0.1)
    result = run(*words, "--index", tmp_path / "kept", *MINILM, "--split", "dev", "--json", file)
    assert result.exit_code == 0, result.output
    found = json.loads(file.read_text())
    assert found["bench"] == "auto"
    row = found["held_out"]["micro"]
    assert row["loss"] <= 0.1
    assert found["ours"]["share_reranked"] == pytest.approx(1 - row["share_skipped"])
    assert {"certainty", "margin", "NQC"} <= found["statistics"].keys()
    assert found["curve"][-1]["sets"]["micro"]["share_skipped"] == 1
    assert (tmp_path / "kept" / "micro.index").is_dir()
    uncalibrated = run("bench", "auto", "--data", dataset, "--split", "dev", *MINILM)
    assert "not calibrated" in uncalibrated.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "x", "--rerank", "auto"), "not calibrated for 'minilm"),
        (("search", "x", "--rerank", "nowhere"), "rerank is 'nowhere'"),
        (("ask", "x", "--rerank", "auto"), "unimoer-rag calibrate --checkpoint"),
    ],
)
def test_what_is_not_calibrated(
    run: Command, indexed: Path, words: tuple[str, ...], said: str
) -> None:
    result = run(*words, "--index", indexed, *MINILM)
    assert result.exit_code == 1
    assert said in result.stderr.replace("\n", " ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--loss", "2"), "loss is 2.0"),
        (("--out", "."), "name a file"),
        (("--modes", "dense,fuzzy"), "unknown mode 'fuzzy'"),
        (("--limit", "3", "--depth", "5"), "expected 5 or more"),
    ],
)
def test_wrong_arguments(run: Command, dataset: Path, words: tuple[str, ...], said: str) -> None:
    result = run("calibrate", "--data", dataset, "--split", "dev", *MINILM, *words)
    assert result.exit_code == 1
    assert said in result.stderr.replace("\n", " ")


@pytest.mark.slow
def test_eval_of_what_does_not_decide_so(run: Command, dataset: Path) -> None:
    words = ("eval", "--data", dataset, "--split", "dev", "--system", "bm25", "--rerank", "auto")
    result = run(*words)
    assert result.exit_code == 1
    assert "'bm25' is measured" in result.stderr.replace("\n", " ")
