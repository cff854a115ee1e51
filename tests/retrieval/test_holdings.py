"""What an index holds: listed, removed by name, compared with files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import docx
import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.chunking import Chunking
from unimoer_rag.retrieval.holdings import Holding, compare, holdings, remove
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.roots import Roots
from unimoer_rag.retrieval.sources import scan
from unimoer_rag.retrieval.types import Document

LONG = " ".join(f"Sentence number {n} speaks of item {n * 7}." for n in range(12))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    (docs / "old").mkdir(parents=True)
    (docs / "long.md").write_text(f"# Long\n\n{LONG}\n")
    (docs / "old" / "b.txt").write_text("An old file.")
    (docs / "rows.jsonl").write_text(
        '{"source": "wiki", "id": 1, "text": "One row."}\n{"_id": "r2", "text": "Two rows."}\n'
    )
    return docs


@pytest.fixture
def retriever(minilm: UniMoER, docs: Path) -> Iterator[UnifiedRetriever]:
    with UnifiedRetriever(minilm, chunking=Chunking(20, 4)) as retriever:
        retriever.add_path(docs)
        retriever.add([Document("By hand.", "note")])
        yield retriever


def test_listed_and_removed_by_name(retriever: UnifiedRetriever) -> None:
    store = retriever.store
    long = holdings(store, ["docs/long.md"])
    assert [(one.name, one.documents) for one in long] == [("docs/long.md", 1)]
    assert long[0].passages > 3
    rest = [
        Holding("docs/old/b.txt", 1, 1),
        Holding("docs/rows.jsonl", 2, 2),
        Holding("note", 1, 1),
    ]
    assert holdings(store) == [*long, *rest]
    assert holdings(store, ["docs/old", "n*"]) == [rest[0], rest[2]]
    with pytest.raises(InputError, match=r"nothing of 'docs/lang.md': did you mean docs/long.md"):
        remove(store, ["note", "docs/lang.md"])
    assert retriever.count() == long[0].passages + 4
    assert remove(store, ["docs/old/", "*.jsonl"]) == rest[:2]
    assert holdings(store) == [*long, rest[2]]
    assert remove(store, ["docs"]) == long
    assert [hit.source for hit in retriever.search("sentence")] == ["note"]


def test_only_close_names_are_suggested(retriever: UnifiedRetriever) -> None:
    store = retriever.store
    for typed, meant in (
        ("long.md", "docs/long.md"),
        ("docs/long.txt", "docs/long.md"),
        ("docs/odl", "docs/old"),
        ("dosc", "docs"),
        ("notes", "note"),
    ):
        with pytest.raises(InputError, match=rf"did you mean {meant}\?"):
            remove(store, [typed])
    for typed in ("docs/zebra.md", "docs/row.txt.gz.old", "docs/new/c.txt", "nothing.md", "*.pdf"):
        with pytest.raises(InputError, match="see `unimoer-rag docs ls`"):
            remove(store, [typed])


def test_compared_with_the_files(retriever: UnifiedRetriever, docs: Path) -> None:
    same = compare(retriever.store, scan(docs))
    assert (same.new, same.changed, same.gone, same.problems) == ((), (), (), ())
    assert same.unchanged == ("docs/long.md", "docs/old/b.txt", "docs/rows.jsonl")
    (docs / "old" / "b.txt").unlink()
    (docs / "new.txt").write_text("New.")
    (docs / "torn.pdf").write_bytes(b"%PDF torn")
    (docs / "rows.jsonl").write_text('{"source": "wiki", "id": 1, "text": "One row."}\n')
    status = compare(retriever.store, scan(docs))
    assert (status.new, status.gone) == (("docs/new.txt",), ("docs/old/b.txt",))
    assert (status.changed, status.unchanged) == (("docs/rows.jsonl",), ("docs/long.md",))
    assert [problem.path for problem in status.problems] == ["docs/torn.pdf"]


@pytest.mark.parametrize(
    "text",
    [
        f"# Long\n\n{LONG[:60]}\n",  # shorter, and longer, and other words
        f"# Long\n\n{LONG} More.\n",
        f"# Long\n\n{LONG.replace('item 77', 'item 78')}\n",
        f"# Longer\n\n{LONG}\n",
    ],
)
def test_any_change_is_seen(retriever: UnifiedRetriever, docs: Path, text: str) -> None:
    (docs / "long.md").write_text(text)
    assert compare(retriever.store, scan(docs)).changed == ("docs/long.md",)
    retriever.add_path(docs)
    assert compare(retriever.store, scan(docs)).changed == ()


@pytest.mark.slow
def test_folders_of_one_name_in_one_index(minilm: UniMoER, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "docs").mkdir(parents=True)
        (tmp_path / name / "docs" / "README.md").write_text(f"This is {name}.")
    with UnifiedRetriever(minilm, index=tmp_path / "index") as retriever:
        for _ in range(2):
            reports = [retriever.add_path(tmp_path / name / "docs", sync=True) for name in "ab"]
            assert [report.removed for report in reports] == [0, 0]
    with UnifiedRetriever(minilm, index=tmp_path / "index") as retriever:
        report = retriever.add_path(tmp_path / "b" / "docs" / "README.md")
        assert (report.added, report.unchanged) == (0, 1)
        (tmp_path / "a" / "docs" / "README.md").unlink()
        with pytest.raises(InputError, match="disk not mounted"):
            retriever.add_path(tmp_path / "a" / "docs", sync=True)
        assert [one.name for one in holdings(retriever.store)] == [
            "b/docs/README.md", "docs/README.md"
        ]  # fmt: skip


def test_add_path_chooses(minilm: UniMoER, docs: Path) -> None:
    with UnifiedRetriever(minilm) as retriever:
        report = retriever.add_path(docs, include=["*.txt", "*.md"], exclude=["old/"])
        assert (report.documents, report.skipped) == (1, {"excluded": 2})
        with pytest.raises(InputError, match="list of globs"):
            retriever.add_path(docs, include="*.md")


def test_a_folder_known_before_the_one_around_it(minilm: UniMoER, tmp_path: Path) -> None:
    inner, outer = tmp_path / "z" / "b", tmp_path / "z"
    (inner / "deep").mkdir(parents=True)
    (inner / "gala.txt").write_text("A gala.")
    (inner / "deep" / "pear.txt").write_text("A pear.")
    (outer / "fig.txt").write_text("A fig.")
    with UnifiedRetriever(minilm, index=tmp_path / "index") as retriever:
        retriever.add_path(inner)
        report = retriever.add_path(outer)
        assert (report.added, report.unchanged) == (1, 2)
        names = ["b/deep/pear.txt", "b/gala.txt", "z/fig.txt"]
        assert [one.name for one in holdings(retriever.store)] == names
        roots = Roots(retriever.store, tmp_path / "index")
        (inner / "gala.txt").unlink()
        status = compare(retriever.store, scan(outer, name=roots.naming(outer)))
        assert (status.gone, status.unchanged) == (("b/gala.txt",), (names[0], names[2]))
        assert retriever.add_path(outer, sync=True).removed == 1
        shutil.rmtree(inner)
        assert retriever.add_path(outer, sync=True).removed == 1
        assert [one.name for one in holdings(retriever.store)] == ["z/fig.txt"]


def test_a_file_given_before_the_folder_around_it(minilm: UniMoER, tmp_path: Path) -> None:
    inner, outer = tmp_path / "z" / "b", tmp_path / "z"
    (inner / "deep").mkdir(parents=True)
    (inner / "gala.txt").write_text("A gala.")
    (inner / "deep" / "pear.txt").write_text("A pear.")
    with UnifiedRetriever(minilm, index=tmp_path / "index") as retriever:
        retriever.add_path(inner / "gala.txt")
        for path, added in ((outer, 1), (inner, 0), (inner / "deep", 0), (outer, 0)):
            assert retriever.add_path(path, sync=True).added == added
        names = [one.name for one in holdings(retriever.store)]
        assert names == ["b/gala.txt", "z/b/deep/pear.txt"]


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.docx"])
def test_an_emptied_file_says_nothing(
    minilm: UniMoER, tmp_path: Path, name: str, sync: bool
) -> None:
    (tmp_path / "docs").mkdir()
    file, other = tmp_path / "docs" / name, tmp_path / "docs" / "b.txt"
    if name == "a.docx":
        document = docx.Document()
        document.add_paragraph("Old words.")
        document.save(str(file))
    else:
        file.write_text("Old words.")
    other.write_text("Other words.")
    with UnifiedRetriever(minilm) as retriever:
        retriever.add_path(file.parent)
        file.write_text(" \n")
        status = compare(retriever.store, scan(file.parent))
        assert (status.changed, status.gone) == ((f"docs/{name}",), ())
        report = retriever.add_path(file.parent, sync=sync)
        assert (report.removed, [problem.empty for problem in report.problems]) == (1, [True])
        assert "earlier text" not in str(report.problems[0])
        assert [one.name for one in holdings(retriever.store)] == ["docs/b.txt"]
        other.write_text("")
        assert retriever.add_path(other, sync=sync).removed == 1  # by itself, and the last


def test_an_emptied_jsonl_file_and_row(minilm: UniMoER, docs: Path) -> None:
    with UnifiedRetriever(minilm) as retriever:
        retriever.add_path(docs)
        rows = docs / "rows.jsonl"
        wiki = '{"source": "wiki", "id": 1, "text": "One row."}'
        rows.write_text(wiki + '\n{"_id": "r2", "text": ""}\n')
        assert compare(retriever.store, scan(docs)).changed == ("docs/rows.jsonl",)
        assert retriever.add_path(docs, sync=True).removed == 1
        rows.write_text("")
        status = compare(retriever.store, scan(docs))
        assert (status.changed, status.gone) == (("docs/rows.jsonl",), ())
        assert retriever.add_path(docs, sync=True).removed == 1


def test_the_earlier_text_of_a_damaged_file_is_told_of(
    retriever: UnifiedRetriever, docs: Path
) -> None:
    (docs / "old" / "b.txt").write_bytes(b"\x89PNG\0\xff\xfe\xfa")
    (docs / "torn.pdf").write_bytes(b"%PDF torn")
    for _ in range(2):
        told = compare(retriever.store, scan(docs)).problems
        reports = [retriever.add_path(docs, sync=sync).problems for sync in (False, True)]
        for problems in (told, *reports):
            stays = {one.path: "still answers" in one.reason for one in problems}
            assert stays == {"docs/old/b.txt": True, "docs/torn.pdf": False}
    assert retriever.search("An old file.")[0].source == "docs/old/b.txt"
