"""JSONL rows: which names they get, and what a line may cost."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from unimoer_rag.retrieval import jsonl
from unimoer_rag.retrieval.jsonl import count_rows, read_rows
from unimoer_rag.retrieval.problems import Problem
from unimoer_rag.retrieval.types import Document


def read(path: Path) -> tuple[list[Document], list[Problem], list[Problem]]:
    problems: list[Problem] = []
    left_out: list[Problem] = []
    rows = read_rows(path, "data/a.jsonl", problems.append, on_note=left_out.append)
    documents = list(rows)
    assert count_rows(path) == len(documents) + len(problems)
    return documents, problems, left_out


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("names", "source", "document_id"),
    [
        ({"_id": "d1", "source": "wiki", "id": "1"}, "d1", ""),
        ({"source": "wiki", "id": "1"}, "wiki", "1"),
        ({"source": "wiki", "id": 1}, "wiki", "1"),
        ({"source": "wiki"}, "wiki", "data/a.jsonl"),  # its file tells it from other files' rows
        ({"source": "wiki", "id": None}, "wiki", "data/a.jsonl"),
        ({"id": "1"}, "1", ""),
        ({}, "data/a.jsonl:1", ""),
    ],
)
def test_what_names_a_row(
    tmp_path: Path, names: dict[str, object], source: str, document_id: str
) -> None:
    [document], problems, _ = read(write(tmp_path / "a.jsonl", {**names, "text": "A."}))
    assert problems == []
    assert (document.source, document.document_id) == (source, document_id)
    assert document.origin == "data/a.jsonl"


def test_metadata_that_cannot_be_filtered_by_is_told_once(tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": "A.", "n": None, "deep": {"a": [n]}, "ok": n} for n in range(3)]
    documents, problems, left_out = read(
        write(tmp_path / "a.jsonl", *rows, {"text": "B.", "l": [1]})
    )
    assert [d.metadata for d in documents] == [{"ok": 0}, {"ok": 1}, {"ok": 2}, {}]
    assert problems == []
    assert [problem.path for problem in left_out] == ["data/a.jsonl:1", "data/a.jsonl:4"]
    assert "metadata 'deep' of 1 in" in left_out[0].reason
    assert str(tmp_path) in left_out[0].reason


def test_a_line_that_is_too_long_is_named_and_the_rest_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 40)
    fits = b'{"text": "%s"}' % (b"a" * 28)
    assert len(fits) == 40
    long = b'{"text": "%s"}' % (b"b" * 200)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([fits, long, b'{"text": "after"}', long]))
    documents, problems, _ = read(tmp_path / "a.jsonl")
    assert [d.text for d in documents] == ["a" * 28, "after"]
    assert [p.path for p in problems] == ["data/a.jsonl:2", "data/a.jsonl:4"]
    assert "line 2 of" in problems[0].reason
    assert "it is longer than" in problems[0].reason


def test_blank_lines_end_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_MAX_BLANK", 100)
    (tmp_path / "a.jsonl").write_bytes(b'\n{"text": "a"}' + b"\n" * 100 + b'{"text": "b"}')
    documents, problems, _ = read(tmp_path / "a.jsonl")
    assert ([d.text for d in documents], problems) == (["a", "b"], [])
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}' + b" \n" * 1000 + b'{"text": "b"}')
    documents, [problem], _ = read(tmp_path / "a.jsonl")
    assert [d.text for d in documents] == ["a"]
    assert "line 102: found 101 blank lines in a row" in problem.reason


def test_what_unpacks_without_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 1 << 20)
    monkeypatch.setattr(jsonl, "_ALWAYS_UNPACKED", 4 << 20)
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'{"text": "first"}\n{"text":"')
        for _ in range(32):
            file.write(b"a" * (1 << 20))
        file.write(b'"}\n')
    tracemalloc.start()
    try:
        documents, problems, _ = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [d.text for d in documents] == ["first"]
    assert "it unpacks to more than 200 times its size" in problems[-1].reason
    assert str(path) in problems[-1].reason
    assert peak < 16 << 20


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"text": "a", "n": %s}' % (b"1" * 5000), b'{"a":' * 50_000]
)
def test_depth_and_digits_are_bounded(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(line + b'\n{"text": "after"}')
    documents, [problem], _ = read(tmp_path / "a.jsonl")
    assert [d.text for d in documents] == ["after"]
    assert problem.path == "data/a.jsonl:1"


def test_a_value_without_a_name_is_left_out(tmp_path: Path) -> None:
    [document], problems, [told] = read(write(tmp_path / "a.jsonl", {"text": "A.", "": 1, "b": 2}))
    assert (document.metadata, problems) == ({"b": 2}, [])
    assert "under a name" in told.reason


def test_deep_metadata_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a", "deep": %s}' % (b"[" * 800 + b"]" * 800))
    [_], problems, [told] = read(tmp_path / "a.jsonl")
    assert problems == []
    assert "'deep'" in told.reason
