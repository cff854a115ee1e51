"""`unimoer-rag report`: results compared, side by side, and as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_helpers import Command
from typer.testing import CliRunner, Result

from unimoer_rag.cli.main import _Commands
from unimoer_rag.cli.report import report


@pytest.fixture(scope="module")
def typed() -> Command:
    """The command as the command line runs it, with its handling of errors."""
    app = typer.Typer(cls=_Commands, pretty_exceptions_enable=False)
    app.add_typer(report)

    def call(*words: object, columns: int = 120, terminal: bool = False) -> Result:
        env = {"COLUMNS": str(columns), "FORCE_COLOR": "1" if terminal else ""}
        return CliRunner().invoke(app, ["report", *map(str, words)], env=env)

    return call


@pytest.fixture(scope="module")
def results(run: Command, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two first stages measured on the same questions."""
    folder = tmp_path_factory.mktemp("results")
    paths = [folder / "dense.json", folder / "sparse.json"]
    for path in paths:
        done = run(
            *("eval", "--checkpoint", "minilm", "--data", dataset, "--split", "dev"),
            *("--mode", path.stem, "--rerank", 3, "--json", path),
        )
        assert done.exit_code == 0, done.stderr
    return paths


def _changed(path: Path, target: Path, **changes: Any) -> Path:
    value = json.loads(path.read_text(encoding="utf-8"))
    target.write_text(json.dumps({**value, **changes}), encoding="utf-8")
    return target


@pytest.mark.slow
def test_prints_differences(typed: Command, results: list[Path]) -> None:
    done = typed("compare", *results)
    assert done.exit_code == 0, done.stderr
    assert "first stage dense, reranked 3" in done.stdout
    assert "B minus A on micro dev" in done.stdout
    for words in ("95% interval", "retrieval: nDCG@10", "rerank: R@5", "answers: em"):
        assert words in done.stdout


@pytest.mark.slow
def test_no_figure_is_cut_on_a_narrow_terminal(typed: Command, results: list[Path]) -> None:
    last = json.loads(typed("compare", *results, "--json").stdout)["differences"]["answers"]["f1"]
    done = typed("compare", *results, columns=80, terminal=True)
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines()[2:])) <= 80
    assert f"│ {last['p_value']:.4f} │ {last['n']} " in done.stdout
    piped = typed("compare", *results, columns=40)
    whole = f"{last['low']:+.2f} to {last['high']:+.2f}  {last['p_value']:.4f}  {last['n']}"
    assert whole in piped.stdout


def test_prints_json(typed: Command, results: list[Path]) -> None:
    found = json.loads(typed("compare", *results, "--json", "--seed", 2).stdout)
    assert found["files"] == [str(path) for path in results]
    assert (found["dataset"], found["split"], found["seed"]) == ("micro", "dev", 2)
    measured = [json.loads(path.read_text(encoding="utf-8")) for path in results]
    for part in ("retrieval", "rerank"):
        for measure, row in found["differences"][part].items():
            ends = [result[part][measure] for result in measured]
            assert row["difference"] == pytest.approx(ends[1] - ends[0], abs=1e-4)
            assert row["low"] <= row["difference"] <= row["high"]
            assert 0 < row["p_value"] <= 1
            assert row["n"] == 10


def test_a_result_does_not_differ_from_itself(typed: Command, results: list[Path]) -> None:
    found = json.loads(typed("compare", results[0], results[0], "--json").stdout)
    rows = [row for part in found["differences"].values() for row in part.values()]
    assert rows
    assert {(row["difference"], row["p_value"]) for row in rows} == {(0.0, 1.0)}


def test_other_questions_and_older_files_are_refused(
    typed: Command, results: list[Path], tmp_path: Path
) -> None:
    other = _changed(results[1], tmp_path / "other.json", questions_sha256="0")
    done = typed("compare", results[0], other)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: the results differ in their questions")
    assert f"{other} has as many of that name, but others" in done.stderr
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"dataset": "micro", "split": "dev"}), encoding="utf-8")
    done = typed("compare", old, results[1])
    assert done.exit_code == 1
    assert "measure again" in done.stderr


def test_puts_systems_side_by_side(typed: Command, results: list[Path]) -> None:
    done = typed("table", *results)
    assert done.exit_code == 0, done.stderr
    for words in ("quality on micro dev", "dense", "sparse", "median latency and memory"):
        assert words in done.stdout
    measured = [json.loads(path.read_text(encoding="utf-8")) for path in results]
    found = json.loads(typed("table", *results, "--json").stdout)
    assert (found["dataset"], found["questions_sha256"]) == (
        "micro",
        measured[0]["questions_sha256"],
    )
    for row, result in zip(found["systems"], measured, strict=True):
        assert row["first_stage"] == result["first_stage"]
        assert row["ndcg"] == result["rerank"]["nDCG@10"]
        assert row["f1"] == result["answers"]["f1"]
        assert row["search_ms"] == result["latency_percentiles_ms"]["search"]["p50"]
        assert row["model_mb"] == result["memory_mb"]["model"]
    lines = typed("table", *results, "--markdown").stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("|") for line in lines)


def test_a_table_of_other_data_is_refused(
    typed: Command, results: list[Path], tmp_path: Path
) -> None:
    other = _changed(results[1], tmp_path / "other.json", corpus_sha256="0")
    done = typed("table", results[0], other)
    assert done.exit_code == 1
    assert "the results differ in their corpus" in done.stderr
    assert f"{results[0]} has 10 passages of micro, {other} has as many" in done.stderr


def test_writes_a_page(typed: Command, results: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "pages" / "dense.html"
    done = typed("html", results[0], "-o", page)
    assert done.exit_code == 0, done.stderr
    assert str(page) in done.stdout
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "unimoer on micro" in text
    assert "went worst" not in text  # no texts of the data set without --worst
    assert typed("html", tmp_path / "none.json", "-o", page).exit_code == 1


def test_help_lists_what_there_is(typed: Command) -> None:
    for name in ("compare", "table", "html"):
        assert name in typed("--help").stdout
    assert "--json" in typed("compare", "--help").stdout
    assert "--markdown" in typed("table", "--help").stdout
