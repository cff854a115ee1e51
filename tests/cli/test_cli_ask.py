"""`unimoer-rag ask`: answers with their sources, or none."""

from __future__ import annotations

import json
from pathlib import Path

from cli_helpers import Command
from openai_server import chat_server

MINILM = ("--checkpoint", "minilm")


def test_no_answer_names_the_nearest_passages(run: Command, indexed: Path) -> None:
    # A backbone without a trained reader answers nothing.
    words = ("ask", "how long do refunds take?", "--index", indexed, *MINILM)
    result = run(*words)
    assert result.exit_code == 0
    assert result.stdout.startswith("no answer found\nnearest passages:\n")
    assert "docs/refunds.md" in result.stdout
    found = json.loads(run(*words, "--json").stdout)
    assert found["answer"] is None
    assert found["citations"] == []
    assert found["hits"][0]["source"] == "docs/refunds.md"


def test_quotes_its_sources(run: Command, docs: Path, eager_reader: Path) -> None:
    words = ("ask", "what is the deposit?", "--docs", docs, "--checkpoint", eager_reader)
    result = run(*words, "--threshold", 0)
    assert result.exit_code == 0
    assert "confidence 0." in result.stdout
    assert "\n[1] docs/" in result.stdout
    assert "total" in result.stdout


def test_shows_the_words_around_an_answer(run: Command, tmp_path: Path, eager_reader: Path) -> None:
    long = " ".join(f"Rule {n} is written here." for n in range(30))
    (tmp_path / "long.txt").write_text(long, encoding="utf-8")
    words = ("ask", "which rule?", "--docs", tmp_path, "--checkpoint", eager_reader)
    result = run(*words, "--threshold", 0)
    quoted = [line for line in result.stdout.splitlines() if line.startswith("    ")]
    assert quoted
    assert "…" in result.stdout
    for line in quoted:
        kept = line.strip().strip("…").strip()
        assert kept in long, line


def test_json_spans_stand_in_the_document(run: Command, docs: Path, eager_reader: Path) -> None:
    words = ("ask", "what is the deposit?", "--docs", docs, "--checkpoint", eager_reader)
    result = run(*words, "--threshold", 0, "--json")
    found = json.loads(result.stdout)
    assert found["citations"]
    for citation in found["citations"]:
        text = (docs.parent / citation["source"]).read_text(encoding="utf-8")
        passage = citation["passage"]
        at, end = citation["start"] - passage["start"], citation["end"] - passage["start"]
        assert passage["text"][at:end] == citation["text"]
        assert citation["text"] in text
    assert found["answer"] == found["citations"][0]["text"]


def test_documents_that_cannot_be_read_show_in_the_exit_code(run: Command, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("Cats sleep for 15 hours a day.", encoding="utf-8")
    (tmp_path / "noise.txt").write_bytes(bytes(range(256)) * 4)
    result = run("ask", "how long do cats sleep?", "--docs", tmp_path, *MINILM, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["hits"]
    assert "noise.txt" in result.stderr


def test_an_empty_corpus_has_no_answer(run: Command, tmp_path: Path) -> None:
    result = run("ask", "anyone there?", "--docs", tmp_path, *MINILM)
    assert result.exit_code == 0
    assert result.stdout.startswith("no answer found")


def test_wrong_arguments(run: Command, indexed: Path) -> None:
    for words, said in [
        (("", "--index", indexed), "empty"),
        (("x", "--index", indexed, "--read", 0), "n_read is 0"),
        (("x", "--index", indexed, "--threshold", 2), "threshold is 2"),
        (("x",), "--index DIR"),
        (("x", "--docs", "nowhere"), "no such file or folder"),
        (("x", "--index", "nowhere"), "there is no index at nowhere"),
    ]:
        result = run("ask", *words, *MINILM)
        assert result.exit_code == 1, words
        assert said in result.stderr
        assert result.stdout == ""


def test_the_default_checkpoint_answers(run: Command, docs: Path) -> None:
    result = run("ask", "How long do refunds take?", "--docs", docs, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert "14 days" in found["answer"]
    assert found["citations"][0]["source"] == "docs/refunds.md"
    nothing = run("ask", "Who won the 1998 World Cup?", "--docs", docs)
    assert nothing.stdout.startswith("no answer found")


def test_a_chat_model_words_the_answer(run: Command) -> None:
    handbook = Path(__file__).resolve().parents[2] / "examples" / "handbook"
    words = ("ask", "How long do refunds take?", "--docs", handbook)
    with chat_server() as url:
        result = run(*words, "--chat-url", url)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("14 days [1]\n")
        assert "[1] handbook/returns-and-refunds.md:" in result.stdout
        found = json.loads(run(*words, "--chat-url", url, "--json").stdout)
        assert found["confidence"] is None
        assert found["citations"][0]["source"] == "handbook/returns-and-refunds.md"
        assert len(found["prompt"]) == 64
    result = run(*words, "--chat-url", "localhost")
    assert result.exit_code == 1
    assert "url is 'localhost': expected" in result.stderr
