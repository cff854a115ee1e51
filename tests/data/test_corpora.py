"""Corpora in memory and on disk."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from data.official_files import DPR, FLASHRAG_CORPUS, lines, write
from hypothesis import given, settings
from hypothesis import strategies as st

from unimoer_rag.data.corpora import beir_passages, cache_folder, open_corpus
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.disk_corpus import DiskCorpus
from unimoer_rag.data.fingerprint import corpus_sha256
from unimoer_rag.data.formats.dpr import dpr_passages
from unimoer_rag.data.formats.flashrag import flashrag_passages
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation import load_beir
from unimoer_rag.retrieval.types import Document

ROWS = [{"_id": f"d{n}", "title": f"Title {n}", "text": f"Text «{n}»."} for n in range(40)]


def opened(path: Path, cache: Path, *, in_memory: int = 10) -> Mapping[str, Document]:
    return open_corpus(path, beir_passages, cache=cache, in_memory=in_memory)


def sha256(corpus: Mapping[str, Document]) -> str:
    return corpus_sha256(BeirDataset("x", "dev", corpus, [], {}))


def test_a_corpus_on_disk_is_the_same_mapping(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", lines(ROWS))
    kept, plain = opened(path, tmp_path), opened(path, tmp_path / "other", in_memory=40)
    assert isinstance(kept, DiskCorpus)
    assert isinstance(plain, dict)
    assert kept == plain
    assert len(kept) == 40
    assert list(kept) == list(plain)
    assert list(kept.values()) == list(plain.values())
    assert list(kept.items()) == list(plain.items())
    assert kept["d7"] == Document("Text «7».", source="d7", title="Title 7")
    assert "d7" in kept
    assert "nobody" not in kept
    assert 7 not in kept
    assert kept.get("nobody") is None
    with pytest.raises(KeyError, match="nobody"):
        kept["nobody"]
    assert sha256(kept) == sha256(plain)


def test_it_is_stored_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", lines(ROWS))
    cache = tmp_path / "cache"
    first = opened(path, cache)
    assert isinstance(first, DiskCorpus)
    made = first.path.stat()
    again = opened(path, cache)
    assert isinstance(again, DiskCorpus)
    assert again.path.stat().st_mtime_ns == made.st_mtime_ns
    write(path, lines([*ROWS, {"_id": "new", "text": "More."}]))
    assert "new" in opened(path, cache)
    assert [file.suffix for file in cache_folder("corpora", cache).iterdir()].count(".sqlite") == 1


def test_a_damaged_store_is_made_again(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", lines(ROWS))
    first = opened(path, tmp_path)
    assert isinstance(first, DiskCorpus)
    first.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"cannot read the stored corpus .*delete the file"):
        DiskCorpus(first.path)
    assert len(opened(path, tmp_path)) == 40


def test_what_a_killed_build_left_is_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", lines(ROWS))
    first = opened(path, tmp_path)
    assert isinstance(first, DiskCorpus)
    left = first.path.with_name(f"{first.path.name}.part")
    first.path.rename(left)
    assert len(opened(path, tmp_path)) == 40
    assert not left.exists()


def test_a_broken_line_leaves_nothing_behind(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", lines(ROWS) + '{"_id": "broken"}\n')
    with pytest.raises(DataError, match="line 41: found text None"):
        opened(path, tmp_path)
    assert not list(tmp_path.rglob("*.sqlite*[!k]"))


@pytest.mark.parametrize("at", [1, 39])
def test_ids_must_be_unique_on_disk_too(tmp_path: Path, at: int) -> None:
    path = write(tmp_path / "corpus.jsonl", lines([*ROWS, ROWS[at]]))
    with pytest.raises(DataError, match=f"'d{at}' a second time"):
        opened(path, tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", lines(ROWS))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot store the corpus in .*file"):
        opened(path, tmp_path / "file")


def test_threads_read_it_at_the_same_time(tmp_path: Path) -> None:
    corpus = opened(write(tmp_path / "corpus.jsonl", lines(ROWS)), tmp_path)
    wrong: list[str] = []

    def read() -> None:
        for _ in range(30):
            for (doc_id, document), row in zip(corpus.items(), ROWS, strict=True):
                if corpus[doc_id] != document or document.text != row["text"]:
                    wrong.append(doc_id)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(TEXTS.filter(bool), st.tuples(TEXTS, TEXTS), min_size=1, max_size=8),
    st.randoms(),
)
def test_any_text_survives_and_order_does_not_change_the_digest(
    tmp_path_factory: pytest.TempPathFactory,
    rows: dict[str, tuple[str, str]],
    random: object,
) -> None:
    documents = [Document(text, source=d, title=title) for d, (title, text) in rows.items()]
    path = tmp_path_factory.mktemp("any") / "corpus.sqlite"
    kept = DiskCorpus.build(path, documents, stamp="x")
    assert list(kept.values()) == documents
    assert all(kept[document.source] == document for document in documents)
    random.shuffle(documents)  # type: ignore[attr-defined]
    assert sha256({document.source: document for document in documents}) == kept.sha256


def test_half_a_pair_is_stored_as_it_is_indexed(tmp_path: Path) -> None:
    documents = [Document("a\ud800b", source="d")]
    kept = DiskCorpus.build(tmp_path / "corpus.sqlite", documents, stamp="")
    assert kept["d"].text == "a\ufffdb"


def test_a_beir_folder_goes_to_disk_above_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "corpus.jsonl", lines(ROWS))
    write(tmp_path / "queries.jsonl", lines([{"_id": "q", "text": "?", "context": "d3"}]))
    write(tmp_path / "qrels" / "dev.tsv", "q\td3\t1\nq\televen\t1\n")
    monkeypatch.setattr("unimoer_rag.data.corpora.IN_MEMORY", 10)
    dataset = load_beir(tmp_path, cache=tmp_path / "cache")
    assert isinstance(dataset.corpus, DiskCorpus)
    assert dataset.n_judged_outside == 1
    assert ("d3",) not in dataset.corpus
    assert dataset.content("d3") == "Title 3. Text «3»."
    assert dataset.limit(1).corpus is dataset.corpus


@pytest.mark.slow
def test_progress_is_told(tmp_path: Path) -> None:
    rows = [{"_id": str(n), "text": "x"} for n in range(20_500)]
    path = write(tmp_path / "corpus.jsonl", lines(rows))
    told: list[tuple[str, int, int]] = []
    open_corpus(
        path, beir_passages, cache=tmp_path, in_memory=5, on_progress=lambda *w: told.append(w)
    )
    assert told == [("storing passages", 10_000, 0), ("storing passages", 20_000, 0)]


def test_other_formats_are_stored_too(tmp_path: Path) -> None:
    packed = tmp_path / "psgs_w100.tsv.gz"
    packed.write_bytes(gzip.compress(DPR.encode()))
    dpr = open_corpus(packed, dpr_passages, cache=tmp_path, in_memory=1)
    assert [document.title for document in dpr.values()] == ["Aaron", '"Refunds"', "Tents"]
    path = write(tmp_path / "wiki.jsonl", lines(FLASHRAG_CORPUS))
    flashrag = open_corpus(path, flashrag_passages, cache=tmp_path, in_memory=1)
    assert isinstance(flashrag, DiskCorpus)
    assert flashrag["0"].title == "Refunds"


LARGE = """
import re, sys
from pathlib import Path
from unimoer_rag.data.corpora import open_corpus
from unimoer_rag.data.disk_corpus import DiskCorpus
from unimoer_rag.retrieval.types import Document

def passages(path):
    for n in range(200_000):
        yield n, Document(f"{n} " + "A passage of Wikipedia. " * 20, source=f"p{n:07}", title="T")

def peak():
    # Not getrusage: there a child begins with what its parent had.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

folder = Path(sys.argv[1])
before = peak()
corpus = open_corpus(folder / "large.jsonl", passages, cache=folder, in_memory=1_000)
assert isinstance(corpus, DiskCorpus)
assert sum(1 for _ in corpus.values()) == 200_000
assert all(corpus[f"p{n:07}"].title == "T" for n in range(0, 200_000, 40))
print(corpus.path.stat().st_size / 2**20, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read where Linux tells it")
def test_200_000_passages_are_stored_and_read_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "large.jsonl").write_text("stands for the passages made by the script")
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    stored_mb, grown_mb = map(float, done.stdout.split())
    assert stored_mb > 90
    assert grown_mb < 30


KILLED = """
import sys, time
from pathlib import Path
from unimoer_rag.data.disk_corpus import DiskCorpus
from unimoer_rag.retrieval.types import Document

def endless():
    n = 0
    while True:
        n += 1
        if n == 2_000:
            print("under way", flush=True)
            time.sleep(60)
        yield Document(f"text {n}", source=str(n))

DiskCorpus.build(Path(sys.argv[1]), endless(), stamp="x")
"""


@pytest.fixture
def killed_build(tmp_path: Path) -> Path:
    """Where a build was killed in the middle of its work."""
    path = tmp_path / "corpus.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        process.kill()
    return path


def test_a_build_killed_midway_leaves_no_corpus_and_starts_again(killed_build: Path) -> None:
    assert not killed_build.exists()
    assert DiskCorpus.find(killed_build, stamp="x") is None
    start = time.monotonic()
    kept = DiskCorpus.build(killed_build, [Document("text", source="d")], stamp="x")
    assert list(kept) == ["d"]
    assert time.monotonic() - start < 30  # the lock went with the process
    assert os.listdir(killed_build.parent).count("corpus.sqlite.part") == 0
