"""`unimoer-rag eval`: the page beside the JSON, and answers judged by ragas."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli_helpers import Command
from judge_server import judge_server

BASE = ("eval", "--checkpoint", "minilm", "--split", "dev", "--limit", 4, "--rerank", 3)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ragas keeps an identifier for its user, though nobody is told it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@pytest.mark.slow
def test_writes_a_page_with_the_worst_questions(
    run: Command, dataset: Path, tmp_path: Path
) -> None:
    page, target = tmp_path / "new" / "out.html", tmp_path / "out.json"
    done = run(*BASE, "--data", dataset, "--html", page, "--json", target)
    assert done.exit_code == 0, done.stderr
    result = json.loads(target.read_text(encoding="utf-8"))
    worst = result["details"]["worst"]
    f1 = result["per_question"]["answers"]  # of the reader, which has learnt nothing
    assert len(worst) == sum(values["f1"] < 100 for values in f1.values())
    text = page.read_text(encoding="utf-8")
    assert "went worst" in text
    assert all(question["question"] in text for question in worst)
    assert result["details"]["ranks"].keys() == result["per_question"]["retrieval"].keys()
    # The same page comes from the JSON alone.
    again = tmp_path / "again.html"
    assert run("report", "html", target, "-o", again).exit_code == 0
    assert again.read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_texts_stay_out_of_a_result_unless_asked_for(run: Command, dataset: Path) -> None:
    words = (*BASE, "--data", dataset, "--parts", "retrieval,answers", "--json", "-")
    details = json.loads(run(*words).stdout)["details"]
    assert (details["worst"], len(details["ranks"])) == ([], 4)
    asked = json.loads(run(*words, "--worst", 2).stdout)
    n_wrong = sum(values["f1"] < 100 for values in asked["per_question"]["answers"].values())
    assert len(asked["details"]["worst"]) == min(2, n_wrong)
    refused = run(*words, "--worst", -1)
    assert refused.exit_code == 1
    assert "n_worst is -1" in refused.stderr


@pytest.mark.slow
def test_judges_with_ragas(run: Command, dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("ragas")
    target = tmp_path / "out.json"
    with judge_server() as judging:
        done = run(
            *(*BASE, "--data", dataset, "--parts", "answers", "--json", target),
            *("--judge-url", judging.url, "--judge-key", "secret"),
        )
    assert done.exit_code == 0, done.stderr
    assert "judged by ragas" in done.stdout
    result = json.loads(target.read_text(encoding="utf-8"))
    assert {"semantic_similarity", "faithfulness", "context_recall"} <= set(result["ragas"])
    for metric, row in result["ragas"].items():
        judged = [r[metric] for r in result["per_question"]["ragas"].values() if metric in r]
        assert row["n"] == len(judged)
        assert row["n"] + row["failed"] + row["skipped"] == 4
    assert result["ragas"]["non_llm_context_recall"]["mean"] == 1  # the gold passage was read
    assert result["ragas_judge"] == "judge"
    assert "ragas" in result["versions"]
    assert set(judging.keys) == {"Bearer secret"}


@pytest.mark.slow
def test_what_keeps_ragas_from_judging_is_told_before_measuring(
    run: Command, dataset: Path
) -> None:
    pytest.importorskip("ragas")
    words = (*BASE, "--data", dataset)
    nobody = run(*words, "--judge-url", "http://127.0.0.1:9/v1")
    assert nobody.exit_code == 1
    assert "no chat server answers" in nobody.stderr
    unanswered = run(*words, "--parts", "retrieval", "--ragas")
    assert unanswered.exit_code == 1
    assert "ragas judges answers" in unanswered.stderr


@pytest.mark.slow
def test_a_page_without_jinja_is_refused_before_measuring(
    run: Command, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = run(*BASE, "--data", dataset, "--html", tmp_path / "out.html")
    assert done.exit_code == 1
    assert "pip install 'unimoer-rag[eval]'" in done.stderr
