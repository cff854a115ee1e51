"""Documents in: what is stored, what is left alone, what goes, and what is reported."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from unimoer_rag.errors import InputError, ReadError, UnimoerError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.chunking import Chunking, whole
from unimoer_rag.retrieval.ingest import AddReport, Embedded, ingest
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import EdgeStore
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Passage


@pytest.fixture(params=["memory", "folder"])
def retriever(
    request: pytest.FixtureRequest, minilm: UniMoER, tmp_path: Path
) -> Iterator[UnifiedRetriever]:
    folder = tmp_path / "index" if request.param == "folder" else None
    with UnifiedRetriever(minilm, index=folder, chunking=Chunking(20, 4)) as retriever:
        yield retriever


@pytest.fixture
def in_memory(minilm: UniMoER) -> Iterator[UnifiedRetriever]:
    with UnifiedRetriever(minilm, chunking=Chunking(20, 4)) as retriever:
        yield retriever


def stored(retriever: UnifiedRetriever) -> dict[str, Passage]:
    return {passage.id: passage for passage in retriever.store.scroll()}


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


LONG = " ".join(f"Sentence number {n} speaks of item {n * 7}." for n in range(12))


def test_adding_twice_changes_nothing(retriever: UnifiedRetriever, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a=LONG, b="Refunds take five days.")
    first = retriever.add_path(docs)
    before, rows = stored(retriever), retriever.engine.stats.rows
    assert (first.documents, first.unchanged, first.removed, first.problems) == (2, 0, 0, [])
    assert first.added == len(before) > 4
    again = retriever.add_path(docs)
    assert (again.added, again.unchanged, again.removed) == (0, first.added, 0)
    assert again.passages == first.passages
    assert stored(retriever) == before
    assert retriever.engine.stats.rows == rows  # nothing was embedded


def test_a_changed_file_is_updated(retriever: UnifiedRetriever, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a=LONG, b="Refunds take five days.")
    n = retriever.add_path(docs).added
    changed = LONG.replace("number 11 speaks", "number 11 no longer speaks")
    report = retriever.add_path(write(docs, a=changed))
    assert 1 <= report.added == report.removed < n - 2  # the last passages of one file only
    passages = stored(retriever).values()
    assert len(passages) == n
    assert all(p.text == changed[p.start : p.end] for p in passages if p.source == "docs/a.txt")


def test_a_shortened_file_loses_its_end(retriever: UnifiedRetriever, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a=LONG)
    n = retriever.add_path(docs).added
    report = retriever.add_path(write(docs, a="Sentence number 0 speaks of item 0."))
    assert (report.removed, retriever.count()) == (n, 1)


def test_changed_metadata_is_updated(retriever: UnifiedRetriever) -> None:
    retriever.add([Document("A note.", "note", "", {"year": 2020, "tag": ["a", "b"]})])
    same = retriever.add([Document("A note.", "note", "", {"year": 2020, "tag": ("a", "b")})])  # type: ignore[dict-item]
    assert (same.added, same.unchanged) == (0, 1)
    report = retriever.add([Document("A note.", "note", "", {"year": 2021})])
    assert (report.added, report.removed, retriever.count()) == (1, 0, 1)
    assert retriever.search("note", filters={"year": 2021})
    assert not retriever.search("note", filters={"year": 2020})


def test_texts_do_not_replace_each_other(in_memory: UnifiedRetriever) -> None:
    in_memory.add(["The first text."])
    in_memory.add(["The second text.", "The first text."], source="text")
    assert in_memory.count() == 2
    assert {p.source.partition("/")[0] for p in stored(in_memory).values()} == {"text"}
    in_memory.add(["The first text."], source="other")
    assert in_memory.count() == 3


def test_documents_of_one_source_belong_together(in_memory: UnifiedRetriever) -> None:
    in_memory.add([Document("One part.", "book"), Document("Another part.", "book")])
    assert in_memory.count() == 2
    in_memory.add([Document("One part.", "book")])
    assert [p.text for p in stored(in_memory).values()] == ["One part."]


@pytest.mark.slow
def test_a_long_new_document_stays_whole_in_an_index_that_holds_others(tmp_path: Path) -> None:
    """Its later batches find its first ones stored, which does not make them old."""
    vectors = np.random.default_rng(0)

    def embed(texts: Sequence[str]) -> Callable[[], Embedded]:
        return lambda: Embedded(vectors.normal(size=(len(texts), 4)).astype(np.float32))

    def pages(name: str, n: int, version: int = 1) -> list[Document]:
        return [Document(f"{name} {page} of version {version}", name) for page in range(n)]

    with EdgeStore(tmp_path / "index", dimension=4) as store:

        def add(documents: list[Document]) -> tuple[int, int]:
            report = ingest(
                documents,
                whole,
                embed=embed,
                store=store,
                encoder=BM25Encoder(),
                report=AddReport(),
            )
            return report.added, report.removed

        assert add(pages("old", 700)) == (700, 0)
        assert add([*pages("new", 600), *pages("old", 300), *pages("newer", 300)]) == (900, 400)
        assert store.sources() == {"new": 600, "newer": 300, "old": 300}
        assert add(pages("new", 600, version=2)) == (600, 600)
        assert store.sources() == {"new": 600, "newer": 300, "old": 300}


class Told:
    """Embeds by random vectors, and tells when it began and when it was waited for."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._vectors = np.random.default_rng(0)

    def __call__(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        self.said.append(f"begin {len(texts)}")

        def wait() -> Embedded:
            self.said.append(f"wait {len(texts)}")
            return Embedded(self._vectors.normal(size=(len(texts), 4)).astype(np.float32))

        return wait

    def ingest(self, documents: Iterable[Document], store: EdgeStore) -> AddReport:
        encoder, report = BM25Encoder(), AddReport()
        return ingest(documents, whole, embed=self, store=store, encoder=encoder, report=report)


def test_the_next_batch_is_begun_before_one_is_waited_for(tmp_path: Path) -> None:
    told = Told()
    with EdgeStore(tmp_path / "index", dimension=4) as store:
        told.ingest((Document(f"Text {n}.", f"d{n}") for n in range(600)), store)
        assert store.count() == 600
    assert told.said == ["begin 256", "begin 256", "wait 256", "begin 88", "wait 256", "wait 88"]


def test_what_comes_again_in_the_next_batch_is_stored_once(tmp_path: Path) -> None:
    told = Told()
    documents = [Document(f"Text {n % 200}.", f"d{n % 200}") for n in range(600)]
    with EdgeStore(tmp_path / "index", dimension=4) as store:
        report = told.ingest(documents, store)
        assert (report.added, store.count()) == (200, 200)
    assert told.said == ["begin 200", "wait 200"]


def test_what_was_read_before_an_error_is_stored(tmp_path: Path) -> None:
    def documents() -> Iterator[Document]:
        for n in range(600):
            if n == 300:
                raise OSError("the disk is gone")
            yield Document(f"Text {n}.", f"d{n}")

    with EdgeStore(tmp_path / "index", dimension=4) as store:
        with pytest.raises(OSError, match="the disk is gone"):
            Told().ingest(documents(), store)
        assert store.count() == 256


def test_without_replacing_nothing_goes(retriever: UnifiedRetriever) -> None:
    retriever.add([Document("One tent.", source="a"), Document("Two tents.", source="b")])
    changed = [Document("One red tent.", source="a"), Document("Two tents.", source="b")]
    report = retriever.add(changed, replace=False)
    assert (report.added, report.unchanged, report.removed) == (1, 1, 0)
    assert sorted(p.text for p in stored(retriever).values()) == [
        "One red tent.",
        "One tent.",
        "Two tents.",
    ]


def test_offsets_and_ids(in_memory: UnifiedRetriever) -> None:
    document = Document(f"  \n{LONG}\ud800 End, café.\n", "a\udfffb", "Ti\udc00tle")
    in_memory.add([document])
    text = clean_text(document.text)
    assert len(text) == len(document.text)
    for id, passage in stored(in_memory).items():
        assert text[passage.start : passage.end] == passage.text
        assert passage.id == id
        assert (passage.source, passage.title) == ("a\ufffdb", "Ti\ufffdtle")
    hit = in_memory.search("café", mode="hybrid")[0]
    assert "\ufffd End, café." in hit.text


@pytest.mark.slow
def test_a_text_of_100000_words(minilm: UniMoER) -> None:
    words = " ".join(f"word{n % 977}" for n in range(100_000))
    with UnifiedRetriever(minilm, chunking="whole") as whole:
        report = whole.add([words])
        assert (report.added, report.truncated) == (1, 1)
        assert whole.search(words)[0].text == words  # a query is cut too


def test_what_cannot_be_read_is_reported(retriever: UnifiedRetriever, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="First file.", c="Third file.", empty=" \n")
    (docs / "b.txt").write_bytes(b"\x89PNG\0\xff\xfe\xfa")
    (docs / "lost.md").symlink_to(docs / "nowhere.md")
    (docs / "torn.pdf").write_bytes(b"%PDF-1.4 torn")
    (docs / "picture.bin").write_bytes(b"\x89PNG")
    seen: list[int] = []
    report = retriever.add_path(docs, on_progress=lambda r: seen.append(r.documents))
    assert (report.documents, report.added) == (2, 2)
    assert sorted(p.path for p in report.problems) == [
        "docs/b.txt", "docs/empty.txt", "docs/lost.md", "docs/torn.pdf"
    ]  # fmt: skip
    assert all("cannot read" in str(problem) for problem in report.problems)
    assert report.skipped == {".bin": 1}
    assert seen[-1] == 2
    assert {p.source for p in stored(retriever).values()} == {"docs/a.txt", "docs/c.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_reported(in_memory: UnifiedRetriever, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="First file.", b="Second file.")
    (docs / "a.txt").chmod(0)
    report = in_memory.add_path(docs)
    assert (report.added, [p.path for p in report.problems]) == (1, ["docs/a.txt"])


def test_there_must_be_something(in_memory: UnifiedRetriever, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file"):
        in_memory.add_path(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert in_memory.add_path(tmp_path / "empty").documents == 0
    report = in_memory.add([Document(" ", "blank"), Document("Some words.", "full")])
    assert (report.documents, report.added) == (2, 1)
    assert [str(p) for p in report.problems] == [
        "blank holds no words, so nothing of it was indexed"
    ]


def test_bad_documents_are_refused(in_memory: UnifiedRetriever) -> None:
    for single in ("a text", Document("a text", "source")):
        with pytest.raises(InputError, match="list of documents"):
            in_memory.add(single)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="document 1 is a int"):
        in_memory.add(["fine", 7])  # type: ignore[list-item]
    with pytest.raises(InputError, match="cannot be stored"):
        in_memory.add([Document("text", "source", "", {"bad": float("nan")})])
    assert in_memory.count() == 0


@pytest.mark.slow
def test_vectors_of_a_broken_model_are_refused(minilm_path: Path) -> None:
    model = UniMoER.from_backbone("minilm", device="cpu", dtype="float32")
    with UnifiedRetriever(model) as retriever:
        retriever.add(["fine"])
        with torch.no_grad():
            model.get_parameter("backbone.encoder.layer.5.output.LayerNorm.bias").fill_(np.nan)
        with pytest.raises(UnimoerError, match=r"gave vectors that are not numbers \(NaN\)"):
            retriever.add(["not fine"])
        with pytest.raises(UnimoerError, match=r"gave vectors that are not numbers \(NaN\)"):
            retriever.search("not fine")
        assert retriever.count() == 1


def test_beir_documents_stay_whole(in_memory: UnifiedRetriever, tmp_path: Path) -> None:
    lines = [
        {"_id": "d1", "title": "Long", "text": LONG},
        {"_id": "d2", "title": "", "text": "Short."},
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)))
    report = in_memory.add_path(tmp_path)
    assert (report.documents, report.added) == (2, 2)
    passages = {p.source: p for p in stored(in_memory).values()}
    assert (passages["d1"].text, passages["d1"].title) == (LONG, "Long")
    assert isinstance(in_memory.chunking, Chunking)


_KILLED = """
import sys, time
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever
def tell(report):
    print(report.added, flush=True)
    time.sleep(60 * (report.added > 256))  # not done before it is killed
model = UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")
retriever = UnifiedRetriever(model, index=sys.argv[1])
print("open", flush=True)
retriever.add_path(sys.argv[2], on_progress=tell)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_killed_run_resumes(minilm: UniMoER, tmp_path: Path) -> None:
    source = random.Random(1)
    nouns = ["parcel", "kayak", "tent", "boot", "refund", "library", "warranty"]
    docs = write(
        tmp_path / "docs",
        **{
            f"f{n:03}": f"File {n}: {source.choice(nouns)} {source.random():.3f}."
            for n in range(600)
        },
    )
    folder = tmp_path / "index"
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(folder), str(docs)], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "open\n"
        assert run.stdout.readline() == "256\n"  # in the middle of the second of three batches
        time.sleep(0.2)
        run.send_signal(signal.SIGKILL)
        assert "done" not in run.stdout.read()
    with UnifiedRetriever(minilm, index=folder) as resumed:
        assert 256 <= resumed.count() < 600
        report = resumed.add_path(docs)
        assert report.added + report.unchanged == 600
        assert report.unchanged >= 256
        assert (report.removed, report.problems) == (0, [])
        with UnifiedRetriever(minilm) as whole:
            whole.add_path(docs)
            assert stored(resumed) == stored(whole)
            for query in nouns[:3]:
                a, b = (r.search(query, k=20, rerank=0) for r in (resumed, whole))
                np.testing.assert_allclose([h.score for h in a], [h.score for h in b], atol=1e-4)
        again = resumed.add_path(docs)
        assert (again.added, again.unchanged) == (0, 600)
    with EdgeStore(folder) as store:
        assert store.count() == 600
