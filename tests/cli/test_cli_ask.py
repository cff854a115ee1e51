"""`unimoer-rag ask`: answers with their sources, or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command
from generation.faulty_server import faulty_server, stream, whole
from openai_server import chat_server

MINILM = ("--checkpoint", "minilm")


@pytest.mark.slow
def test_no_answer_names_the_nearest_passages(run: Command, indexed: Path) -> None:
    words = ("ask", "who won the world cup of 1998?", "--index", indexed, *MINILM)
    result = run(*words)
    assert result.exit_code == 0
    assert result.stdout.startswith("no answer found\nnearest passages:\n")
    assert "docs/refunds.md" in result.stdout
    found = json.loads(run(*words, "--json").stdout)
    assert found["answer"] is None
    assert found["citations"] == []
    assert {hit["source"] for hit in found["hits"]} > {"docs/refunds.md"}


@pytest.mark.slow
def test_quotes_its_sources(run: Command, docs: Path, eager_reader: Path) -> None:
    words = ("ask", "what is the deposit?", "--docs", docs, "--checkpoint", eager_reader)
    result = run(*words, "--threshold", 0)
    assert result.exit_code == 0
    assert "confidence 0." in result.stdout
    assert "\n[1] docs/" in result.stdout
    assert "total" in result.stdout


@pytest.mark.slow
def test_an_index_that_is_made_for_it_has_its_settings(
    run: Command, docs: Path, tmp_path: Path
) -> None:
    place = ("--index", tmp_path / "index", *MINILM)
    made = ("--whole", "--quantization", "int8", "--token-states", "int8", "--token-pooling", "2")
    result = run("ask", "what is the deposit?", "--docs", docs, *place, *made, "--oversampling", 3)
    assert result.exit_code == 0, result.stderr
    for option, value, said in (
        ("--chunk-size", 64, "whole documents"),
        ("--quantization", "binary", "quantization int8, not binary"),
        ("--token-states", "binary", "int8, pooled by 2"),
    ):
        other = run("index", docs, *place, option, value)
        assert other.exit_code == 1
        assert said in " ".join(other.stderr.split())


@pytest.mark.slow
def test_an_untrained_reader_gives_no_answer(run: Command, docs: Path, eager_reader: Path) -> None:
    words = ("ask", "what is the deposit?", "--docs", docs, "--checkpoint", eager_reader)
    found = json.loads(run(*words, "--json").stdout)
    assert (found["answer"], found["confidence"]) == (None, 0.0)
    found = json.loads(run(*words, "--json", "--threshold", 0).stdout)
    assert found["answer"]
    assert all(
        0 <= one["confidence"] <= 0.05 for one in (*found["citations"], *found["candidates"])
    )


@pytest.mark.slow
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


@pytest.mark.slow
def test_json_spans_stand_in_the_document(run: Command, docs: Path, eager_reader: Path) -> None:
    words = ("ask", "what is the deposit?", "--docs", docs, "--checkpoint", eager_reader)
    result = run(*words, "--threshold", 0, "--json")
    found = json.loads(result.stdout)
    assert found["citations"]
    passages = {hit["id"]: hit for hit in found["hits"]}
    assert len(passages) == len(found["hits"])
    for citation in found["citations"] + found["candidates"]:
        text = (docs.parent / citation["source"]).read_text(encoding="utf-8")
        passage = passages[citation["passage_id"]]
        at, end = citation["start"] - passage["start"], citation["end"] - passage["start"]
        assert passage["text"][at:end] == citation["text"]
        assert citation["text"] in text
    assert found["answer"] == found["citations"][0]["text"]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_default_checkpoint_answers(run: Command, docs: Path) -> None:
    result = run("ask", "How long do refunds take?", "--docs", docs, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert "14 days" in found["answer"]
    assert found["citations"][0]["source"] == "docs/refunds.md"
    nothing = run("ask", "Who won the 1998 World Cup?", "--docs", docs)
    assert nothing.stdout.startswith("no answer found")


@pytest.mark.slow
def test_a_chat_model_words_the_answer(run: Command, few_documents: Path) -> None:
    words = ("ask", "How long do refunds take?", "--docs", few_documents)
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


# -- pipelines ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hybrid", "multihop"])
def test_a_preset_answers(run: Command, few_documents: Path, name: str) -> None:
    words = ("ask", "How long do refunds take?", "--docs", few_documents, "--pipeline", name)
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["answer"] == "14 days"
    assert (found["hits"][0]["fused"] is None) == (name == "multihop")


@pytest.mark.slow
def test_a_file_says_what_options_do_not(run: Command, indexed: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"retrieve: {{model: minilm, index: {indexed}, rerank: 10}}\nselect: {{n_read: 2}}\n",
        encoding="utf-8",
    )
    words = ("ask", "how long do refunds take?", "--pipeline", file, "--json")
    found = json.loads(run(*words).stdout)
    assert len(found["hits"]) == 2
    assert found["hits"][0]["rerank"] is not None
    assert "rerank" in found["timings_ms"]
    options = ("--read", 1, "--rerank", 0, "--mode", "sparse")
    found = json.loads(run(*words, *options).stdout)
    (hit,) = found["hits"]
    assert hit["dense"] is None
    assert hit["score"] == hit["sparse"]
    assert "rerank" not in found["timings_ms"]


@pytest.mark.slow
def test_options_take_the_place_of_the_files_server(
    run: Command, docs: Path, tmp_path: Path
) -> None:
    file = tmp_path / "chat.yaml"
    text = "generate: {kind: chat-server, url: 'http://127.0.0.1:9/v1', max_tokens: 7}\n"
    file.write_text(text, encoding="utf-8")
    with faulty_server() as server:
        server.answers = [whole("In 14 days [1].")]
        words = ("ask", "refunds?", "--docs", docs, *MINILM, "--pipeline", file)
        result = run(*words, "--chat-url", server.url, "--chat-model", "other")
    assert result.stdout.startswith("In 14 days [1].\n")
    (request,) = server.requests
    assert (request["model"], request["max_tokens"]) == ("other", 7)


@pytest.mark.slow
def test_what_does_not_go_together_is_refused(run: Command, docs: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("select:\n  n_read: all\n", encoding="utf-8")
    for words, said in [
        (("--threshold", 0.1, "--chat-url", "http://localhost/v1"), "--threshold is 0.1, but the"),
        (("--threshold", 0.1, "--pipeline", "server"), "comes from a chat-server"),
        (("--chat-model", "x"), "--chat-model is 'x', but the answer comes from a reader"),
        (("--stream", "--json"), "leave out --json"),
        (("--pipeline", "nowhere"), "expected a YAML file or one of hybrid, local, multihop"),
        (("--pipeline", bad), "bad.yaml:2: select.n_read: "),
        (("--index", tmp_path / "x", "--url", "http://localhost"), "not both"),
    ]:
        result = run("ask", "x", "--docs", docs, *words)
        assert result.exit_code == 1, words
        assert said in result.stderr, result.stderr
        assert result.stdout == ""


@pytest.mark.slow
def test_a_stream_is_printed_as_it_comes(run: Command, docs: Path, few_documents: Path) -> None:
    words = ("ask", "how long do refunds take?", "--docs", docs, *MINILM, "--stream")
    with faulty_server() as server:
        server.answers = [stream("In ", "14 days", " [1]."), stream("NO ", "ANSWER")]
        chat = ("--chat-url", server.url)
        assert run(*words, *chat).stdout.startswith("In 14 days [1].\n\n[1] docs/refunds.md:")
        assert run(*words, *chat).stdout.startswith("NO ANSWER\nno answer found\nnearest")
        assert all(request["stream"] for request in server.requests)
        server.answers = [stream("In ", "14", end=""), stream("In 14", end="length")]
        broken = run(*words, *chat)
        assert (broken.exit_code, broken.stdout) == (1, "In 14\n")
        assert "broke off after 5 characters" in broken.stderr
        assert run(*words, *chat).stdout.startswith("In 14  (cut off at the limit of tokens)\n")
    words = ("--docs", few_documents, "--stream")
    nothing = run("ask", "Who won the 1998 World Cup?", *words)
    assert nothing.stdout.startswith("no answer found\nnearest")
    result = run("ask", "How long do refunds take?", *words)
    assert result.stdout.startswith("14 days  confidence ")
    assert result.stdout.count("confidence") == 1
