"""`unimoer-rag eval make-questions`, and the commands that take its file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_helpers import Command
from generation.faulty_server import faulty_server, whole

from unimoer_rag.retrieval import AutoRerank


@pytest.fixture(scope="module")
def two_documents(few_documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "handbook"
    folder.mkdir()
    for name in ("kayak-rental", "tent-rental"):
        shutil.copy(few_documents / f"{name}.md", folder)
    return folder


@pytest.fixture(scope="module")
def reader() -> Iterator[None]:
    """The shipped checkpoint, loaded once: commands share it while it is held here."""
    from unimoer_rag import UniMoER

    model = UniMoER.from_pretrained("unimoer-minilm")
    yield
    del model


@pytest.fixture(scope="module")
def drafted(
    run: Command, two_documents: Path, tmp_path_factory: pytest.TempPathFactory, reader: None
) -> Path:
    file = tmp_path_factory.mktemp("drafted") / "questions.jsonl"
    result = run("eval", "make-questions", two_documents, "--out", file, "--count", 6, "--check")
    assert result.exit_code == 0, result.output
    assert "6 questions on 2 of 2 documents" in result.stderr
    assert f"--questions {file}" in result.stderr
    return file


def rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_file_holds_drafts_with_their_sources(drafted: Path, two_documents: Path) -> None:
    assert len(rows(drafted)) == 6
    for row in rows(drafted):
        text = (two_documents.parent / str(row["source"])).read_text(encoding="utf-8")
        assert str(row["passage"]) in text
        assert row["draft"] is True
        assert str(row["question"]).endswith("?")
        assert "doubts" not in row


@pytest.mark.slow
def test_eval_takes_the_file(run: Command, drafted: Path, two_documents: Path) -> None:
    words = (
        "eval",
        "--own",
        two_documents,
        "--questions",
        drafted,
        "--parts",
        "retrieval,answers",
    )
    result = run(*words, "--rerank", 3, "--json", "-")
    assert result.exit_code == 0, result.output
    assert "6 questions: 6 with relevant passages" in result.stderr
    measured = json.loads(result.stdout)
    assert measured["retrieval"]["R@20"] == 1.0
    assert measured["answers"]["f1"] > 50  # each was recovered from its passage


@pytest.mark.slow
def test_calibrate_suggests_thresholds(
    run: Command, drafted: Path, two_documents: Path, tmp_path: Path
) -> None:
    out = tmp_path / "thresholds.json"
    words = ("calibrate", "--own", two_documents, "--questions", drafted, "--depth", 3)
    result = run(*words, "--out", out)
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    answers = found["answers"]
    assert f"--threshold {answers['threshold']:g}" in result.stdout
    assert 0 <= answers["low"] <= answers["threshold"] <= answers["high"] <= 1
    assert answers["answerable"] == 6
    assert answers["made"] + answers["elsewhere"] == 6
    assert "6 questions with an answer, which is few" in result.stderr
    assert AutoRerank.load(out).depth == 3  # the file is one of rerank=auto, too


@pytest.mark.slow
def test_calibrate_without_a_reader(run: Command, drafted: Path, two_documents: Path) -> None:
    words = ("calibrate", "--own", two_documents, "--questions", drafted, "--depth", 3)
    result = run(*words, "--checkpoint", "minilm", "--limit", 5)
    assert result.exit_code == 0, result.output
    assert "has no trained reader" in result.stderr
    found = json.loads(result.stdout)
    assert "answers" not in found
    assert found["cross_validated"]["dense"]["handbook"]["questions"] == 5


def test_a_chat_server_writes_them(run: Command, two_documents: Path) -> None:
    reply = '[{"question": "How long is a half day?", "answer": "4 hours"}]'
    with faulty_server() as server:
        server.answers = [whole(reply)]
        words = ("eval", "make-questions", two_documents, "--no-check", "--checkpoint", "minilm")
        result = run(*words, "--chat-url", server.url, "--chat-model", "other", "--chat-key", "k")
        assert server.headers["Authorization"] == "Bearer k"
        assert {body["model"] for body in server.requests} == {"other"}
        assert "JSON array" in server.requests[0]["messages"][0]["content"]
    assert result.exit_code == 0, result.output
    [row] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (row["answers"], row["source"]) == (["4 hours"], "handbook/kayak-rental.md")
    assert "does not stand in the passage" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check", "--no-check"), "exclude each other"),
        (("--out", "{drafts}"), "exists, with questions that may have been mended"),
        (("--chat-model", "x"), "say where its chat server is"),
        (("--llm", "x", "--chat-url", "http://localhost:1/v1"), "two language models"),
        (("--count", "0"), "count is 0"),
        (("--llm", "nowhere"), "nowhere"),
    ],
)
def test_wrong_arguments(
    run: Command, two_documents: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "drafts.jsonl").write_text("{}")
    words = tuple(word.format(drafts=tmp_path / "drafts.jsonl") for word in words)
    result = run("eval", "make-questions", two_documents, "--checkpoint", "minilm", *words)
    assert result.exit_code == 1
    assert said in result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to calibrate on"),
        (("--own", "."), "go together"),
        (("--own", ".", "--questions", "q.jsonl", "--data", "x"), "say what to calibrate on"),
        (("--own", ".", "--questions", "q.jsonl", "--split", "dev"), "--split is of --data"),
    ],
)
def test_what_calibrate_is_not_told(run: Command, words: tuple[str, ...], said: str) -> None:
    result = run("calibrate", *words)
    assert result.exit_code == 1
    assert said in result.stderr.replace("\n", " ")
