"""Sources: what a path holds, in which order, under which names, and what is passed over."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path, PurePath

import pytest

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.naming import Naming
from unimoer_rag.retrieval.selecting import Selection
from unimoer_rag.retrieval.sources import Corpus, Problem, iter_documents, scan
from unimoer_rag.retrieval.types import Document


def collect(corpus: Corpus) -> tuple[list[Document], list[Problem]]:
    """Read everything; the count announced is the count that comes."""
    problems: list[Problem] = []
    documents = list(corpus.documents(on_error=problems.append))
    assert len(corpus) == len(documents) + len(problems)
    return documents, problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "handbook"
    (root / "eu").mkdir(parents=True)
    (root / "b.txt").write_text("B.")
    (root / "a.md").write_text("# A\n")
    (root / "eu" / "refunds.html").write_text("<p>EU.</p>")
    return root


def test_folder_in_order_with_stable_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents, problems = collect(scan(folder))
    names = ["handbook/a.md", "handbook/b.txt", "handbook/eu/refunds.html"]
    assert ([d.source for d in documents], problems) == (names, [])
    assert documents[0].title == "A"
    monkeypatch.chdir(folder)
    for spelling in (".", "../handbook", f"{folder}/", "eu/.."):
        assert collect(scan(spelling))[0] == documents


def test_a_file_has_the_source_its_folder_gives_it(folder: Path) -> None:
    corpus = scan(folder / "b.txt")
    assert (len(corpus), corpus.precut) == (1, False)
    assert [d.source for d in collect(corpus)[0]] == ["handbook/b.txt"]


def test_what_is_skipped_is_counted(folder: Path) -> None:
    (folder / ".hidden.txt").write_text("no")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.txt").write_text("no")
    (folder / "photo.PNG").write_bytes(b"\0")
    (folder / "Makefile").write_text("no")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.txt")  # reading it would wait for ever
    corpus = scan(folder, selection=Selection(ocr=False))
    assert corpus.skipped == {
        ".png": 1, "hidden": 2, "linked folder": 1, "no suffix": 1, "special file": 1,
    }  # fmt: skip
    assert len(collect(corpus)[0]) == 3


def test_unreadable_files_are_reported_and_the_rest_read(folder: Path) -> None:
    (folder / "a1.txt").write_bytes(b"\xff\xfe\xff")
    (folder / "a2.txt").symlink_to(folder / "gone")
    (folder / "a3.pdf").write_bytes(b"%PDF-")
    (folder / "a4.txt").write_text("")
    corpus = scan(folder)
    (folder / "b.txt").unlink()  # lost between the scan and the reading
    documents, problems = collect(corpus)
    assert [d.source for d in documents] == ["handbook/a.md", "handbook/eu/refunds.html"]
    assert [p.path for p in problems] == [
        "handbook/a1.txt", "handbook/a2.txt", "handbook/a3.pdf", "handbook/a4.txt",
        "handbook/b.txt",
    ]  # fmt: skip
    assert "link to nothing" in str(problems[1])
    assert "it is empty" in problems[3].reason
    assert "no such file" in problems[4].reason


def test_a_folder_that_cannot_be_listed_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:  # root may list everything, so the refusal is played
        if str(path).endswith("eu"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    documents, problems = collect(scan(folder))
    assert len(documents) == 2
    assert [p.path for p in problems] == ["handbook/eu"]
    assert "Permission denied" in problems[0].reason


def test_nothing_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file or folder"):
        iter_documents(tmp_path / "missing", on_error=print)
    (tmp_path / "a.exe").write_text("x")
    with pytest.raises(ReadError, match=r"suffix '.exe' is not one of .*\.jsonl"):
        scan(tmp_path / "a.exe")


def test_an_empty_folder_has_no_documents(tmp_path: Path) -> None:
    assert len(scan(tmp_path)) == 0
    assert list(iter_documents(tmp_path, on_error=print)) == []


def write_lines(path: Path, *lines: object) -> Path:
    data = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz"])
def test_jsonl(tmp_path: Path, name: str) -> None:
    path = write_lines(
        tmp_path / name,
        {"text": "One.", "title": "T", "source": "s1", "id": 7, "year": 1999, "ok": True},
        b"  ",
        {"text": "Two.", "_id": 2, "source": "s2", "metadata": {"lang": "de", "tags": ["a", "b"]}},
        {"text": "Three.", "title": None, "score": 0.5, "none": None, "deep": {"a": 1}, "l": [1]},
        b'{"text": "Four.", "id": "x", "bad": NaN, "big": 123456789012345678901234567890}',
    )
    documents, problems = collect(scan(path))
    assert problems == []
    assert documents == [
        Document("One.", "s1", "T", {"id": 7, "year": 1999, "ok": True}, document_id="7"),
        Document("Two.", "2", "", {"source": "s2", "lang": "de", "tags": ["a", "b"]}),
        Document("Three.", f"{tmp_path.name}/{name}:4", "", {"score": 0.5}),
        Document("Four.", "x"),
    ]


def test_malformed_lines_are_reported_by_number(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "d.jsonl",
        b'\xef\xbb\xbf{"text": "first", "id": "a"}',
        b"{not json",
        ["a", "list"],
        {"title": "no text key", "id": "b"},
        {"text": 5},
        {"text": "  ", "title": ""},
        {"text": "x", "title": ["no"]},
        b'{"text": "\xff"}',
        b"[" * 100_000,
        b'{"text": "lone \\ud800 half", "id": "z\\udfff", "k": "\\ud800"}',
    )
    documents, problems = collect(scan(path))
    assert documents == [
        Document("first", "a"),
        Document("lone \ufffd half", "z\ufffd", "", {"k": "\ufffd"}),
    ]
    assert [p.path.rsplit(":")[-1] for p in problems] == [str(n) for n in range(2, 10)]
    assert str(path) in problems[0].reason
    assert 'expected a string as its "text", got None' in problems[2].reason
    assert 'expected a string as its "text", got 5' in problems[3].reason
    assert "it is empty" in problems[4].reason


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_truncated_gzip_yields_what_is_there(tmp_path: Path, keep: float) -> None:
    path = write_lines(tmp_path / "d.jsonl.gz", *({"text": f"{i * i}"} for i in range(20_000)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    documents, problems = collect(scan(path))
    assert documents[0].text == "0"
    assert len(problems) == 1
    assert "to its end" in problems[0].reason
    path.write_bytes(b"not gzip")
    assert [len(found) for found in collect(scan(path))] == [0, 1]


def test_jsonl_inside_a_folder_is_read_line_by_line(folder: Path) -> None:
    write_lines(folder / "c.jsonl", {"text": "1"}, {"text": "2"}, b"{")
    documents, problems = collect(scan(folder))
    assert [d.source for d in documents][2:4] == ["handbook/c.jsonl:1", "handbook/c.jsonl:2"]
    assert [p.path for p in problems] == ["handbook/c.jsonl:3"]


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_beir_folder_is_precut_and_keeps_its_ids(tmp_path: Path, name: str) -> None:
    write_lines(
        tmp_path / name,
        {"_id": "d1", "title": "T", "text": "One.", "metadata": {"url": "u"}},
        {"_id": "d2", "title": "Title only", "text": ""},
    )
    (tmp_path / "queries.jsonl").write_text("{}")
    expected = [Document("One.", "d1", "T", {"url": "u"}), Document("Title only", "d2")]
    for path in (tmp_path, tmp_path / name):
        corpus = scan(path)
        assert corpus.precut
        assert collect(corpus) == (expected, [])


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
def test_names_that_are_no_text_stay_different(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9ocs")
    folder.mkdir()
    for name in (b"bad\xfe.txt", b"bad\xff.txt", b"bell\x01.txt", b"bell\x02.txt"):
        (folder / os.fsdecode(name)).write_text("A.")
    (folder / "café.txt").write_text("A.")
    documents, problems = collect(scan(folder))
    assert not problems
    names = [r"bad\xfe.txt", r"bad\xff.txt", r"bell\u0001.txt", r"bell\u0002.txt", "café.txt"]
    assert [document.source for document in documents] == [rf"d\xe9ocs/{name}" for name in names]
    assert scan(folder / os.fsdecode(b"bad\xff.txt")).within == (r"d\xe9ocs/bad\xff.txt",)


def test_a_folder_in_it_may_have_a_name_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naming = Naming("handbook", {PurePath("eu"): "eu"}, {PurePath("eu/it"): "it"})
    corpus = scan(folder, name=naming)
    assert [source for source, _ in corpus.files] == [
        "eu/refunds.html", "handbook/a.md", "handbook/b.txt"
    ]  # fmt: skip
    assert corpus.within == ("handbook", "eu", "it")
    assert naming.of_file(PurePath("eu/it/a.md")) == "it/a.md"
    assert naming.of_file(PurePath("eu/it/b/a.md")) == "eu/it/b/a.md"
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "eu":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    problems = collect(scan(folder, name=naming))[1]
    assert [problem.path for problem in problems] == ["eu", "it"]  # so that both are kept
