"""What gives way to what: a document to its next version, and to nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.chunking import whole
from unimoer_rag.retrieval.ingest import AddReport, Embedded, ingest
from unimoer_rag.retrieval.replacing import check_not_all, lies_within
from unimoer_rag.retrieval.sources import scan
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import EdgeStore, Record, ServerStore, Store
from unimoer_rag.retrieval.types import Document, Passage


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return ServerStore.memory(dimension=4)
    return EdgeStore(tmp_path / "index", dimension=4)


def embed(texts: Sequence[str]) -> Callable[[], Embedded]:
    return lambda: Embedded(np.ones((len(texts), 4), np.float32))


def add(store: Store, *documents: Document) -> AddReport:
    encoder, report = BM25Encoder(), AddReport()
    return ingest(documents, whole, embed=embed, store=store, encoder=encoder, report=report)


def add_path(store: Store, path: Path, *, sync: bool = False) -> AddReport:
    corpus, report = scan(path), AddReport()
    return ingest(
        corpus.documents(on_error=report.problems.append),
        whole,
        embed=embed,
        store=store,
        encoder=BM25Encoder(),
        report=report,
        within=corpus.within if sync else (),
    )


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(store: Store) -> list[str]:
    return sorted(passage.text for passage in store.scroll())


def row(text: str, **names: object) -> dict[str, object]:
    return {**names, "text": text}


WIKI = {"source": "wiki"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (row("A.", **WIKI, id="1"), row("B.", **WIKI, id="2")),
        (row("A.", **WIKI, id="1"), row("B.", **WIKI, id="1")),  # each file counts from 1
        (row("A.", **WIKI), row("B.", **WIKI)),
        (row("A.", **WIKI, title="One"), row("B.", **WIKI, title="Two")),
        (row("A.", **WIKI, id="1"), row("B.", **WIKI)),
        (row("A.", _id="1"), row("B.", _id="1")),
        (row("A.", id="1"), row("B.", id="1")),
        (row("A."), row("B.")),
    ],
)
def test_rows_of_two_files_do_not_remove_each_other(
    store: Store, tmp_path: Path, first: dict[str, object], second: dict[str, object]
) -> None:
    a, b = write(tmp_path / "a.jsonl", first), write(tmp_path / "b.jsonl", second)
    for path in (a, b):
        assert (add_path(store, path).added, texts(store)[-1:]) != (0, [])
    for path in (a, b, tmp_path):
        report = add_path(store, path, sync=path == tmp_path)
        assert (report.added, report.removed) == (0, 0)
    assert texts(store) == ["A.", "B."]


@pytest.mark.parametrize("names", [{"source": "wiki", "id": "1"}, {"_id": "1"}, {"id": "1"}])
def test_a_changed_row_takes_its_own_place_only(
    store: Store, tmp_path: Path, names: dict[str, object]
) -> None:
    others = [row("Other.", **{**names, key: "2"}) for key in ("id", "_id") if key in names]
    a = write(tmp_path / "a.jsonl", row("Old.", **names), *others)
    add_path(store, a)
    add_path(store, write(tmp_path / "b.jsonl", row("Same names.", **names)))
    write(a, row("New.", **names, title="Titled"), *others)
    report = add_path(store, a)
    assert (report.added, report.unchanged, report.removed) == (1, 1, 1)
    assert texts(store) == ["New.", "Other.", "Same names."]


def test_rows_without_ids_are_their_files(store: Store, tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", row("One.", **WIKI), row("Two.", **WIKI))
    add_path(store, a)
    add_path(store, write(tmp_path / "b.jsonl", row("One.", **WIKI)))
    report = add_path(store, write(a, row("Two.", **WIKI), row("Three.", **WIKI)))
    assert (report.added, report.removed) == (1, 1)
    assert texts(store) == ["One.", "Three.", "Two."]


def test_rows_of_one_text_are_as_many(store: Store, tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", *(row("Same.", **WIKI, id=str(n)) for n in range(3)))
    assert add_path(store, a).added == 3
    assert add_path(store, a).unchanged == 3
    write(a, row("Same.", **WIKI, id="0"), row("Other.", **WIKI, id="1"), row("x", **WIKI, id="2"))
    assert add_path(store, a).removed == 2
    assert texts(store) == ["Other.", "Same.", "x"]


def test_rows_that_are_gone_stay_until_a_sync(store: Store, tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", row("A.", **WIKI, id="1"), row("B.", **WIKI, id="2"))
    add_path(store, a)
    add_path(store, write(tmp_path / "b.jsonl", row("C.", **WIKI, id="2")))
    write(a, row("A.", **WIKI, id="1"))
    assert add_path(store, a).removed == 0
    assert add_path(store, a, sync=True).removed == 1
    assert texts(store) == ["A.", "C."]


def test_documents_of_one_source_are_told_apart(store: Store) -> None:
    add(store, Document("Paris 1.", "wiki", "Paris"), Document("Paris 2.", "wiki", "Paris"))
    assert add(store, Document("Rome 1.", "wiki", "Rome")).removed == 0
    assert add(store, Document("Rome 2.", "wiki", "Rome")).removed == 1
    assert add(store, Document("Paris 2.", "wiki", "Paris")).removed == 1
    assert texts(store) == ["Paris 2.", "Rome 2."]
    assert add(store, Document("One.", "wiki", document_id="1")).removed == 0
    assert add(store, Document("Two.", "wiki", document_id="2")).removed == 0
    assert add(store, Document("Uno.", "wiki", "Titled", document_id="1")).removed == 1
    assert add(store, Document("One.", "news", document_id="1")).removed == 0
    assert texts(store) == ["One.", "Paris 2.", "Rome 2.", "Two.", "Uno."]


def test_a_file_is_one_document_whatever_its_title(store: Store, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs" / "x.jsonl", row("Row.", id="1")).parent
    (docs / "a.md").write_text("# Old title\n\nText.\n")
    add_path(store, docs)
    (docs / "a.md").write_text("# New title\n\nText.\n")
    report = add_path(store, docs)
    assert (report.added, report.removed, store.count()) == (1, 1, 2)
    by_hand = add(store, Document("By hand.", "docs/a.md"))  # names the file itself
    assert (by_hand.added, by_hand.removed) == (1, 1)


def test_what_an_early_index_holds_is_known_again(store: Store, tmp_path: Path) -> None:
    """It had neither ids within a source nor origins."""
    early = [
        Passage("Row.", "1", end=4),
        Passage("Shared.", "wiki", end=7, metadata={"id": "7"}),
        Passage("Other.", "wiki", end=6, metadata={"id": "8"}),
        Passage("By hand.", "wiki", end=8),
    ]
    vector = np.ones(4, np.float32)
    encoder = BM25Encoder()
    store.upsert(Record(p, vector, encoder.document(p.text)) for p in early)
    rows = [row("Row.", _id="1"), row("Shared.", **WIKI, id="7")]
    a = write(tmp_path / "a.jsonl", *rows)
    report = add_path(store, a)
    assert (report.added, report.unchanged, report.removed) == (1, 1, 1)  # it has its id now
    assert texts(store) == ["By hand.", "Other.", "Row.", "Shared."]
    report = add_path(store, write(a, row("New.", _id="1"), rows[1]))
    assert (report.added, report.removed) == (1, 1)
    assert texts(store) == ["By hand.", "New.", "Other.", "Shared."]


def test_a_sync_removes_what_is_gone_and_nothing_else(store: Store, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    write(docs / "rows.jsonl", row("Row.", id="1"))
    for name in ("a", "b", "c"):
        (docs / f"{name}.md").write_text(f"Text of {name}.")
    (tmp_path / "docs2").mkdir()
    (tmp_path / "docs2" / "z.md").write_text("Another folder.")
    add_path(store, docs)
    add_path(store, tmp_path / "docs2")
    add(store, Document("By hand.", "docs/by-hand.md"))
    assert add_path(store, docs, sync=True).removed == 0
    (docs / "a.md").unlink()
    (docs / "b.md").rename(docs / "b2.md")
    (docs / "c.md").write_bytes(b"\xff\0 damaged")  # what it said is kept
    with (docs / "rows.jsonl").open("a") as file:
        file.write("{\n")
    assert add_path(store, docs).removed == 0
    report = add_path(store, docs, sync=True)
    assert (report.removed, len(report.problems)) == (2, 2)
    assert texts(store) == ["Another folder.", "By hand.", "Row.", "Text of b.", "Text of c."]
    (docs / "rows.jsonl").unlink()
    assert add_path(store, docs / "b2.md", sync=True).removed == 0  # the file only
    assert add_path(store, docs, sync=True).removed == 1


def test_a_path_without_documents_is_no_reason_to_remove_all(store: Store, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    check_not_all(store, ["docs"], docs)
    (docs / "a.md").write_text("A.")
    add_path(store, docs)
    with pytest.raises(InputError, match="docs rm docs"):
        check_not_all(store, ["docs"], docs)
    check_not_all(store, ["docs2"], docs)


def test_what_lies_within_what() -> None:
    assert lies_within("a/b", "a")
    assert lies_within("a", "a")
    assert not any((lies_within("ab", "a"), lies_within("", ""), lies_within("a", "a/b")))


def test_a_batch_holds_few_books(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unimoer_rag.retrieval.ingest._BATCH_CHARACTERS", 100)
    sizes: list[int] = []

    def counted(texts: Sequence[str]) -> Callable[[], Embedded]:
        sizes.append(len(texts))
        return embed(texts)

    documents = [Document(f"{n} " + "word " * 8, f"d{n}") for n in range(5)]
    documents.insert(2, Document("long " * 60, "long"))
    encoder, report = BM25Encoder(), AddReport()
    ingest(documents, whole, embed=counted, store=store, encoder=encoder, report=report)
    assert (sizes, report.added) == ([2, 1, 2, 1], 6)
