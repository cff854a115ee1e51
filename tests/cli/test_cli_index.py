"""`unimoer-rag index`: documents in, what went wrong told, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command

MINILM = ("--checkpoint", "minilm")


@pytest.mark.slow
def test_says_what_it_did(run: Command, docs: Path, tmp_path: Path) -> None:
    first = run("index", docs, "--index", tmp_path / "index", *MINILM)
    assert first.exit_code == 0
    assert "3 documents: 3 passages added, 0 unchanged" in first.stdout
    again = run("index", docs, "--index", tmp_path / "index", *MINILM)
    assert "0 passages added, 3 unchanged, 0 removed; the index holds 3" in again.stdout


def test_tells_of_its_progress_without_a_terminal(
    run: Command, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unimoer_rag.cli.output._EVERY", 0.0)  # seconds between two lines
    result = run("index", docs, "--index", tmp_path / "index", *MINILM)
    assert result.stderr.splitlines()[:2] == [f"indexing {docs}: {n} of 3" for n in (0, 3)]


def test_json(run: Command, docs: Path, tmp_path: Path) -> None:
    result = run("index", docs, "--index", tmp_path / "index", *MINILM, "--json")
    report = json.loads(result.stdout)
    assert report["documents"] == report["added"] == report["total"] == 3
    assert report["problems"] == []


@pytest.mark.slow
def test_indexes_the_rest_of_a_folder_with_a_binary_file(run: Command, tmp_path: Path) -> None:
    # The folder's name would be markup, were paths printed as such.
    folder = tmp_path / "a[" / "b]"
    folder.mkdir(parents=True)
    (folder / "good.md").write_text("Cats sleep for 15 hours a day.", encoding="utf-8")
    (folder / "noise.txt").write_bytes(bytes(range(256)) * 4)
    (folder / "picture.bin").write_bytes(b"\x89PNG")
    result = run("index", folder, "--index", tmp_path / "index", *MINILM)
    assert result.exit_code == 3
    assert "1 document: 1 passage added" in result.stdout
    assert "passed over: 1 .bin" in result.stdout
    assert "not indexed: " in result.stderr
    assert "noise.txt" in result.stderr
    found = run("search", "cats", "--index", tmp_path / "index", *MINILM, "--json")
    assert [hit["source"] for hit in json.loads(found.stdout)] == ["b]/good.md"]


@pytest.mark.slow
def test_quantized_vectors(run: Command, docs: Path, tmp_path: Path) -> None:
    index = ("--index", tmp_path / "index", *MINILM)
    assert run("index", docs, *index, "--quantization", "binary").exit_code == 0
    assert "3 unchanged" in run("index", docs, *index).stdout  # it knows
    found = run("search", "how much is a tent?", *index, "--oversampling", 2, "--json")
    assert json.loads(found.stdout)[0]["source"].endswith("rental.txt")
    other = run("index", docs, *index, "--quantization", "int8")
    assert other.exit_code == 1
    assert "with the quantization binary, not int8" in " ".join(other.stderr.split())


def test_vectors_the_checkpoint_does_not_give(run: Command, docs: Path, tmp_path: Path) -> None:
    result = run("index", docs, "--index", tmp_path / "index", *MINILM, "--dimensions", 64)
    assert result.exit_code == 1
    assert "dimensions is 64" in result.stderr
    assert not (tmp_path / "index").exists()


def test_several_paths(run: Command, docs: Path, tmp_path: Path) -> None:
    paths = (docs / "hours.md", docs / "tents")
    result = run("index", *paths, "--index", tmp_path / "index", *MINILM, "--json")
    assert json.loads(result.stdout)["documents"] == 2


def test_problems_of_an_earlier_run_are_counted(run: Command, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.md").write_text("Cats sleep for 15 hours a day.", encoding="utf-8")
    for n in range(4):
        (folder / f"{n}.pdf").write_bytes(b"%PDF-")
    words = ("index", folder, "--index", tmp_path / "index", *MINILM)
    assert "not indexed: 4: " in run(*words).stderr
    (folder / "5.docx").write_bytes(b"nothing")
    again = run(*words)
    assert again.exit_code == 3
    assert again.stderr.splitlines()[-1] == (
        "not indexed: 4 as told before (docs/0.pdf, docs/1.pdf, docs/2.pdf, ...; --json lists all)"
    )
    assert again.stderr.count("not indexed: ") == 2
    assert "5.docx" in again.stderr
    told = json.loads(run(*words, "--json").stdout)["problems"]
    assert [problem["known"] for problem in told] == [True] * 5


def test_an_empty_folder_is_said_to_be_one(run: Command, docs: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "picture.bin").write_bytes(b"\x89PNG")
    words = ("--index", tmp_path / "index", *MINILM)
    for options in ((), ("--sync",), ("--json",)):
        result = run("index", empty, *words, *options)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert f"error: there is nothing to index in {empty} (passed over: 1 .bin)" in result.stderr
        assert not (tmp_path / "index").exists()
    assert run("index", docs, *words).exit_code == 0
    for options in ((), ("--sync",)):
        result = run("index", empty, *words, *options)
        assert result.exit_code == 1
        assert f"error: there is nothing to index in {empty} (passed over: 1 .bin)" in result.stderr
        assert "docs/hours.md" in run("docs", "ls", "--index", tmp_path / "index").stdout
    result = run("index", docs, empty, *words)  # one of two
    assert result.exit_code == 0
    assert f"nothing to index in {empty}" in result.stderr


@pytest.mark.filterwarnings("always::unimoer_rag.errors.UnimoerWarning")
def test_passages_longer_than_the_model_reads_are_told_of(
    run: Command, docs: Path, tmp_path: Path
) -> None:
    words = ("index", docs, *MINILM)
    result = run(*words, "--index", tmp_path / "long", "--chunk-size", 255)
    assert "warning: chunking size is 255 tokens, and the model reads 254 of" in result.stderr
    result = run(*words, "--index", tmp_path / "right", "--chunk-size", 254)
    assert "warning" not in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing",), "there is no such file or folder"),
        (("{docs}", "missing"), "there is no such file or folder"),
        (("{docs}", "--chunk-size", "0"), "0"),
        (("{docs}", "--checkpoint", "no-such-model"), "no checkpoint 'no-such-model'"),
    ],
)
def test_mistakes_leave_nothing_behind(
    run: Command, docs: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    words = tuple(word.replace("{docs}", str(docs)) for word in words)
    result = run("index", *MINILM, *words, "--index", tmp_path / "index")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "index").exists()


def test_needs_a_place(run: Command, docs: Path) -> None:
    result = run("index", docs, *MINILM)
    assert result.exit_code == 1
    assert "--index DIR" in result.stderr


@pytest.mark.slow
def test_another_model_is_refused(
    run: Command, docs: Path, indexed: Path, eager_reader: Path
) -> None:
    result = run("index", docs, "--index", indexed, "--checkpoint", eager_reader)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_another_chunking_is_refused(run: Command, docs: Path, indexed: Path) -> None:
    result = run("index", docs, "--index", indexed, *MINILM, "--chunk-size", "64")
    assert result.exit_code == 1
    assert "64" in result.stderr


@pytest.mark.slow
def test_documents_are_kept_whole(run: Command, docs: Path, tmp_path: Path) -> None:
    place = ("--index", tmp_path / "whole", *MINILM, "--device", "cpu")
    made = run("index", docs, *place, "--whole", "--json")
    found = json.loads(made.stdout)
    assert found["documents"] == found["added"] > 0
    other = run("index", docs, *place, "--chunk-size", "64")
    assert "cut with chunking off (whole documents), not 64 tokens" in " ".join(
        other.stderr.split()
    )
    both = run("index", docs, *place, "--whole", "--chunk-size", "64")
    assert both.exit_code == 1
    assert "leave out --chunk-size" in " ".join(both.stderr.split())


def test_token_states_are_kept_and_found_again(run: Command, docs: Path, tmp_path: Path) -> None:
    place = ("--index", tmp_path / "index", *MINILM)
    made = run("index", docs, *place, "--token-states", "int8", "--token-pooling", "2")
    assert made.exit_code == 0
    found = run("search", "when is the shop open?", *place, "--json")
    [best, *_] = json.loads(found.stdout)
    plain = ("--index", tmp_path / "plain", *MINILM)
    assert run("index", docs, *plain).exit_code == 0
    [expected, *_] = json.loads(run("search", "when is the shop open?", *plain, "--json").stdout)
    assert best["id"] == expected["id"]
    assert best["rerank"] != expected["rerank"]  # from what was rounded and pooled
    other = run("index", docs, *place, "--token-states", "binary")
    assert other.exit_code == 1
    assert other.stderr.startswith("error: ")
    said = " ".join(other.stderr.split())
    assert "keeps token states as int8, pooled by 2, not token states as binary" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--token-states", "int4"), 2, "int4"),
        (("--token-states", "int8", "--token-pooling", "0"), 1, "pooled by 0"),
        (("--token-pooling", "2"), 1, "without token_states"),
    ],
)
def test_token_states_that_cannot_be_kept(
    run: Command, docs: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    result = run("index", docs, "--index", tmp_path / "index", *MINILM, *words)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "index").exists()


def test_an_index_in_use_is_refused(run: Command, docs: Path, tmp_path: Path) -> None:
    from unimoer_rag import UnifiedRetriever

    with UnifiedRetriever("minilm", index=tmp_path / "index"):
        result = run("index", docs, "--index", tmp_path / "index", *MINILM)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "another process" in result.stderr.lower()


@pytest.mark.slow
def test_a_server_that_is_down(run: Command, docs: Path) -> None:
    result = run("index", docs, "--url", "http://127.0.0.1:9", *MINILM)
    assert result.exit_code == 1
    assert "127.0.0.1:9" in result.stderr
