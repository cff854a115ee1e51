"""`unimoer-rag eval`: measures as a table and as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_helpers import Command

MINILM = ("--checkpoint", "minilm")
KEYS = (
    *("dataset", "split", "n", "retrieval", "rerank"),
    *("answers", "latency_ms", "memory_mb", "versions"),
    *("intervals", "per_question", "latency_percentiles_ms", "questions_per_second"),
    *("corpus_sha256", "questions_sha256", "seed"),
)


@pytest.mark.slow
def test_writes_json_and_prints_a_table(run: Command, dataset: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.json"
    result = run("eval", *MINILM, "--data", dataset, "--split", "dev", "--json", target)
    assert result.exit_code == 0, result.stderr
    for words in ("nDCG@10", "95% interval", "p99 ms", "questions a second"):
        assert words in result.stdout
    measured = json.loads(target.read_text(encoding="utf-8"))
    assert set(KEYS) <= set(measured)
    assert (measured["dataset"], measured["split"], measured["n"]) == ("micro", "dev", 10)
    assert measured["retrieval"]["nDCG@10"] > 0.9
    assert set(measured["rerank"]) == set(measured["retrieval"])
    assert {"em", "f1"} <= set(measured["answers"])


@pytest.mark.slow
def test_answers_by_a_pipeline_of_a_file(run: Command, dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("hops: 2\nretrieve: {mode: hybrid, rerank: 3}\nselect: {n_read: 2}\n")
    words = ("eval", *MINILM, "--data", dataset, "--split", "dev", "--pipeline", path)
    measured = json.loads(run(*words, "--parts", "answers", "--json", "-").stdout)
    assert (measured["first_stage"], measured["rerank_depth"]) == ("hybrid", 3)
    assert (measured["pipeline"]["hops"], measured["pipeline"]["select"]["n_read"]) == (2, 2)
    assert measured["threshold"] == measured["pipeline"]["generate"]["threshold"]
    # Though every question has a passage to read: a pipeline that is asked for answers.
    assert measured["answers"]["from"] == "the whole pipeline, hybrid search"
    assert "answer/rerank" in measured["latency_percentiles_ms"]
    assert measured["answers"]["f1"] >= measured["answers"]["given_f1"] >= 0
    typed = json.loads(run(*words, "--parts", "answers", "--rerank", 0, "--json", "-").stdout)
    assert typed["rerank_depth"] == 0

    words = ("--data", dataset, "--split", "dev", "--pipeline", path)
    refused = run("eval", *words, "--system", "bm25")
    assert refused.exit_code == 1
    assert "unimoer's own retriever" in refused.stderr


@pytest.mark.slow
def test_prints_json_for_a_dash(run: Command, dataset: Path) -> None:
    words = ("eval", *MINILM, "--data", dataset, "--split", "dev", "--parts", "retrieval")
    result = run(*words, "--limit", 4, "--json", "-")
    measured = json.loads(result.stdout)
    assert measured["n"] == 4
    assert measured["limit"] == {"questions": 4, "seed": 0}
    assert measured["rerank"] == {}
    assert measured["seed"] == 0
    assert len(measured["per_question"]["retrieval"]) == 4


@pytest.mark.slow
def test_rescores_a_run(run: Command, dataset: Path, tmp_path: Path) -> None:
    lines = [f"q{n} Q0 d{d} {d + 1} {1 / (d + 1)} bm25" for n in range(10) for d in range(5)]
    (tmp_path / "run.trec").write_text("\n".join(lines), encoding="utf-8")
    words = ("eval", *MINILM, "--data", dataset, "--split", "dev", "--parts", "retrieval,rerank")
    result = run(*words, "--run", tmp_path / "run.trec", "--json", "-")
    measured = json.loads(result.stdout)
    assert measured["first_stage"] == "given run"
    assert measured["rerank"]["nDCG@10"] > measured["retrieval"]["nDCG@10"]
    # What nobody reranked is no model's.
    alone = run(*words[:-1], "retrieval", "--run", tmp_path / "run.trec")
    assert f"a given run on {dataset.name} dev" in alone.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "nowhere"), "nowhere"),
        (("--split", "test"), "test"),
        (("--parts", "speed"), "speed"),
        (("--rerank", "-1"), "depth is -1"),
        (("--limit", "0"), "limit"),
        (("--seed", "-1"), "seed is -1"),
        (("--run", "nowhere"), "nowhere"),
        (("--checkpoint", "wrong"), "no checkpoint 'wrong'"),
        (("--dtype", "float8"), "float8"),
    ],
)
def test_wrong_arguments(run: Command, dataset: Path, words: tuple[str, ...], said: str) -> None:
    result = run("eval", *MINILM, "--data", dataset, "--split", "dev", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--limit", "0"), "cannot keep 0 questions"),
        (("--parts", "speed"), "speed"),
        (("--run", "nowhere"), "nowhere"),
        (("--json", "."), "cannot write results to '.', a folder"),
        (("--html", "."), "cannot write results to '.', a folder"),
        (("--judge-model", "judge"), "give --judge-url too"),
    ],
)
def test_mistakes_are_told_before_the_data_set_is_opened(
    run: Command, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*args: object, **settings: object) -> None:
        raise AssertionError("the data set is opened")

    monkeypatch.setattr("unimoer_rag.data.catalogue.open_dataset", opened)
    result = run("eval", "nq", *words)
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.slow
def test_the_table_tells_names_and_guesses_apart(
    run: Command, dataset: Path, tmp_path: Path
) -> None:
    folder, target = tmp_path / "micro [b] set", tmp_path / "out.json"
    shutil.copytree(dataset, folder)
    words = ("--data", folder, "--split", "dev", "--system", "bm25", "--reader", "minilm")
    result = run("eval", *words, "--json", target)
    assert result.exit_code == 0, result.stderr
    assert "bm25 on micro [b] set dev" in result.stdout
    names = [f"answer-in-passage@{k}" for k in (1, 5, 20, 100)]
    names += [f"answers: {name}" for name in ("em", "f1", "given_em", "given_f1", "abstention")]
    assert all(f"\n{name} " in result.stdout for name in names)
    assert "has_answer" not in result.stdout  # every question has one
    # Nothing reranks for it, whatever depth is the default.
    measured = json.loads(target.read_text(encoding="utf-8"))
    assert (measured["rerank_depth"], measured["rerank"]) == (0, {})


def test_results_that_cannot_be_written_are_told_before_measuring(
    run: Command, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    words = ("eval", *MINILM, "--data", dataset, "--split", "dev", "--parts", "retrieval")
    result = run(*words, "--json", tmp_path / "file" / "out.json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "cannot write results to" in result.stderr
