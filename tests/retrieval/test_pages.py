"""Pages: from the document through the index to the hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag.generation import Citation
from unimoer_rag.retrieval.chunking import whole
from unimoer_rag.retrieval.ingest import AddReport, Embedded, ingest
from unimoer_rag.retrieval.readers import read_document
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import EdgeStore, Record, ServerStore, Store
from unimoer_rag.retrieval.store.payloads import to_passage, to_payload
from unimoer_rag.retrieval.types import Document, Hit, Passage

PAGED = Document("One.\n\nTwo.\n\nFour.", "a.pdf", pages=(0, 6, 12, 12))


def test_an_offset_has_a_page() -> None:
    assert [PAGED.page_at(at) for at in (0, 5, 6, 11, 12, 16)] == [1, 1, 2, 2, 4, 4]
    assert Document("text", "a.txt").page_at(0) is None
    assert Document("\n\ntext", "a.pdf", pages=(2,)).page_at(0) == 1


def test_a_passage_says_where_it_begins_and_keeps_its_id() -> None:
    (passage,) = whole(PAGED)
    assert passage.page == 1
    assert passage.id == Passage(passage.text, "a.pdf", end=passage.end).id
    found = Hit(passage)
    assert (found.page, found.to_dict()["page"]) == (1, 1)
    assert Hit(Passage("x", "a.txt")).to_dict()["page"] is None


def test_each_character_of_a_passage_has_its_page() -> None:
    (passage,) = whole(PAGED)
    read = to_passage(to_payload(passage))
    back = Hit.from_dict(Hit(passage, 0.5).to_dict()).passage
    for one in (passage, read, back):
        assert [one.page_at(at) for at in range(17)] == [PAGED.page_at(at) for at in range(17)]
    assert Passage("x", "a.txt").page_at(0) is None
    assert "page_breaks" not in to_payload(
        Passage("x", "a.pdf", page=3)
    )  # as before there were any


def test_a_quotation_says_the_page_that_it_stands_on() -> None:
    (passage,) = whole(PAGED)
    cited = Citation("Four", Hit(passage), 12, 16, 0.9)
    assert (cited.page, cited.to_dict()["page"], cited.hit.page) == (4, 4, 1)


def test_an_old_payload_has_no_page() -> None:
    payload = to_payload(Passage("x", "a.txt", end=1))
    assert "page" not in payload  # as in indexes of earlier versions
    assert to_passage(payload).page is None


@pytest.mark.parametrize("home", ["memory", "folder"])
def test_stores_keep_the_page(home: str, tmp_path: Path) -> None:
    store: Store
    if home == "memory":
        store = ServerStore.memory(dimension=1)
    else:
        store = EdgeStore(tmp_path / "index", dimension=1)
    with store:
        passages = [Passage("a refund", "a.pdf", page=3), Passage("a day", "b.txt")]
        store.upsert(
            Record(passage, np.ones(1, np.float32), BM25Encoder().document(passage.text))
            for passage in passages
        )
        assert {p.source: p.page for p in store.scroll()} == {"a.pdf": 3, "b.txt": None}
        [found] = store.search_sparse([BM25Encoder().query("refund")], limit=1)
        assert found[0].passage == passages[0]
        assert store.get([passages[0].id]) == [passages[0]]


def test_ingestion_keeps_pages_and_tells_notes(tmp_path: Path) -> None:
    (tmp_path / "guessed.txt").write_bytes("café".encode("latin-1"))
    guessed = read_document(tmp_path / "guessed.txt", source="guessed.txt")

    def embed(texts: Sequence[str]) -> Callable[[], Embedded]:
        return lambda: Embedded(np.ones((len(texts), 1), np.float32))

    with ServerStore.memory(dimension=1) as store:
        report = ingest(
            [guessed, PAGED],
            whole,
            embed=embed,
            store=store,
            encoder=BM25Encoder(),
            report=AddReport(),
        )
        assert {p.source: p.page for p in store.scroll()} == {"a.pdf": 1, "guessed.txt": None}
    [note] = report.notes
    assert (note.path, report.problems) == ("guessed.txt", [])
    assert str(note).startswith("guessed.txt: read as Windows-1252, a guess")


def test_a_place_tells_the_page_where_there_are_any() -> None:
    passage = Passage("Refunds.", "handbook/a.pdf", start=10, end=18)
    assert Hit(passage).place == "handbook/a.pdf:10-18"
    hit = Hit(replace(passage, page=3), rerank=0.5)
    assert hit.place == "handbook/a.pdf:10-18, page 3"
    assert str(hit) == "0.500 handbook/a.pdf:10-18, page 3 Refunds."


def test_a_hit_has_the_metadata_of_its_passage() -> None:
    hit = Hit(Passage("Refunds.", "a", metadata={"year": 2024}, document_id="7"))
    assert (hit.metadata, hit.document_id) == ({"year": 2024}, "7")
