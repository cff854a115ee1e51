"""What a run tells once, and what it goes on telling: known problems, and copies left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.ingest import AddReport
from unimoer_rag.retrieval.retriever import UnifiedRetriever


@pytest.fixture(params=["memory", "folder"])
def retriever(
    request: pytest.FixtureRequest, minilm: UniMoER, tmp_path: Path
) -> Iterator[UnifiedRetriever]:
    folder = tmp_path / "index" if request.param == "folder" else None
    with UnifiedRetriever(minilm, index=folder) as retriever:
        yield retriever


@pytest.fixture
def on_disk(minilm: UniMoER, tmp_path: Path) -> Iterator[UnifiedRetriever]:
    with UnifiedRetriever(minilm, index=tmp_path / "index") as retriever:
        yield retriever


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "good.md").write_text("A kayak for two.")
    (docs / "sub" / "bad.pdf").write_bytes(b"%PDF-")
    (docs / "rows.jsonl").write_text('{"_id": "1", "text": "A row."}\nno JSON\n')
    return docs


def known(report: AddReport) -> dict[str, bool]:
    return {problem.path: problem.known for problem in report.problems}


def test_problems_are_known_in_the_next_run(retriever: UnifiedRetriever, docs: Path) -> None:
    first = retriever.add_path(docs)
    assert known(first) == {"docs/rows.jsonl:2": False, "docs/sub/bad.pdf": False}
    (docs / "new.pdf").write_bytes(b"%PDF-")
    (docs / "good.md").write_text("A kayak for three.")
    second = retriever.add_path(docs)
    assert known(second) == {
        "docs/new.pdf": False, "docs/rows.jsonl:2": True, "docs/sub/bad.pdf": True
    }  # fmt: skip
    assert known(retriever.add_path(docs / "sub")) == {"docs/sub/bad.pdf": True}
    assert known(retriever.add_path(docs / "rows.jsonl")) == {"docs/rows.jsonl:2": True}
    assert set(known(retriever.add_path(docs)).values()) == {True}


def test_another_problem_of_a_file_is_new(retriever: UnifiedRetriever, docs: Path) -> None:
    retriever.add_path(docs)
    (docs / "sub" / "bad.pdf").write_bytes(b"")
    assert known(retriever.add_path(docs))["docs/sub/bad.pdf"] is False
    (docs / "sub" / "bad.pdf").unlink()  # and what was well in between is new
    assert "docs/sub/bad.pdf" not in known(retriever.add_path(docs))
    (docs / "sub" / "bad.pdf").write_bytes(b"")
    assert known(retriever.add_path(docs))["docs/sub/bad.pdf"] is False


def test_notes_are_known_too(retriever: UnifiedRetriever, docs: Path) -> None:
    (docs / "latin.txt").write_bytes("Über den Fluß führt eine schöne Brücke.".encode("latin-1"))
    notes = [retriever.add_path(docs).notes for _ in range(2)]
    assert [[note.known for note in one if "latin" in note.path] for one in notes] == [
        [False], [True]
    ]  # fmt: skip


def test_what_is_remembered_may_be_anything(retriever: UnifiedRetriever, docs: Path) -> None:
    for kept in ("x", {"docs/sub/bad.pdf": "x"}, {"docs/sub/bad.pdf": [{}]}):
        retriever.store.set_identity({**(retriever.store.identity() or {}), "problems": kept})
        assert known(retriever.add_path(docs))["docs/sub/bad.pdf"] is False


def test_a_run_remembers_some_hundred_files(retriever: UnifiedRetriever, docs: Path) -> None:
    rows = "no JSON\n" * 2000
    (docs / "rows.jsonl").write_text(rows)
    for _ in range(2):
        report = retriever.add_path(docs / "rows.jsonl")
        assert len(report.problems) == 2000
    assert sum(known(report).values()) == 500
    assert len(json.dumps(retriever.store.identity())) < 50_000


def test_a_folder_that_was_renamed_is_told_of(on_disk: UnifiedRetriever, docs: Path) -> None:
    assert on_disk.add_path(docs).notes == []
    moved = docs.rename(docs.parent / "handbook")
    report = on_disk.add_path(moved)
    [note] = report.notes
    assert note.path == "docs"
    assert f"holds 2 passages of docs, and they answer, though that folder is no longer at {docs}" \
        in note.reason  # fmt: skip
    assert "`unimoer-rag docs rm docs`" in note.reason
    assert len(on_disk.add_path(moved).notes) == 1  # as long as it is so
    on_disk.delete(filters={"source": ["docs/good.md", "1"]})
    on_disk.add_path(moved)
    assert on_disk.add_path(moved).notes == []


def test_files_that_were_renamed_are_told_of(on_disk: UnifiedRetriever, docs: Path) -> None:
    on_disk.add_path(docs)
    (docs / "good.md").rename(docs / "better.md")
    [note] = on_disk.add_path(docs).notes
    assert "holds 1 passage of files that are gone, and it answers (docs/good.md)" in note.reason
    assert "--sync" in note.reason
    assert on_disk.add_path(docs, sync=True).notes == []


def test_what_is_still_there_is_not_told_of(
    on_disk: UnifiedRetriever, docs: Path, tmp_path: Path
) -> None:
    (docs / "left-out.md").write_text("Excluded later.")
    other = tmp_path / "b" / "docs"
    other.mkdir(parents=True)
    (other / "good.md").write_text("Another of that name.")
    on_disk.add(["A text."])
    on_disk.add_path(docs)
    on_disk.add_path(other)
    assert on_disk.add_path(docs, exclude=["left-out.md"]).notes == []
    same = docs.rename(tmp_path / "elsewhere") / ".." / "elsewhere"
    (tmp_path / "x").mkdir()
    same.resolve().rename(tmp_path / "x" / "docs")  # moved whole: it keeps its name
    assert on_disk.add_path(tmp_path / "x" / "docs").notes == []
