"""Data sets of ir_datasets: the library itself, over tiny files registered by its own interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from data.official_files import write

from unimoer_rag.data import corpora
from unimoer_rag.data.disk_corpus import DiskCorpus
from unimoer_rag.data.ir_dataset import open_ir_dataset
from unimoer_rag.errors import DataError, InputError, MissingExtraError

REASON = "ir_datasets is not installed: pip install 'unimoer-rag[ir-datasets]'"


@pytest.fixture
def library() -> ModuleType:
    return pytest.importorskip("ir_datasets", reason=REASON)


@pytest.fixture
def toy(library: ModuleType, tmp_path: Path) -> Iterator[str]:
    """A data set of three tab-separated files, under a name of the library's registry."""
    docs = "7\tRefunds take 14 days.\n8\tTents are rented.\n9\tBoats are not.\n"
    made = library.create_dataset(
        docs_tsv=str(write(tmp_path / "docs.tsv", docs)),
        queries_tsv=str(write(tmp_path / "queries.tsv", "7\thow long\n5\twhat else\n6\tnone\n")),
        qrels_trec=str(write(tmp_path / "qrels", "7 0 7 3\n7 0 8 1\n5 0 8 2\n")),
    )
    library.registry.register("toy/test", made)
    yield "toy/test"
    library.registry._registered.pop("toy/test")


def test_a_data_set_of_the_library(toy: str, tmp_path: Path) -> None:
    dataset = open_ir_dataset(toy, cache=tmp_path)
    assert (dataset.name, dataset.split) == ("toy/test", "test")
    assert {q.id: q.text for q in dataset.questions} == {"7": "how long", "5": "what else"}
    assert dataset.qrels == {"7": {"7": 3, "8": 1}, "5": {"8": 2}}
    assert dataset.relevance_level == 2
    assert dataset.content("8") == "Tents are rented."
    assert dataset.own_documents == frozenset()  # numbers of other things


def test_a_large_one_is_kept_on_disk(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "IN_MEMORY", 2)
    first = open_ir_dataset(toy, cache=tmp_path).corpus
    assert isinstance(first, DiskCorpus)
    again = open_ir_dataset(toy, cache=tmp_path).corpus
    assert [*again] == ["7", "8", "9"]


def test_names_that_cannot_be_opened(library: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no 'nowhere/test': expected a name such as msmarco"):
        open_ir_dataset("nowhere/test")
    part = library.create_dataset(docs_tsv=str(write(tmp_path / "docs.tsv", "1\ttext\n")))
    library.registry.register("toy", part)
    try:
        with pytest.raises(InputError, match="toy has no questions: name a part"):
            open_ir_dataset("toy")
    finally:
        library.registry._registered.pop("toy")


def test_a_file_that_cannot_be_read_is_told(library: ModuleType, tmp_path: Path) -> None:
    broken = library.create_dataset(
        docs_tsv=str(tmp_path / "none.tsv"),
        queries_tsv=str(write(tmp_path / "queries.tsv", "1\twhat\n")),
    )
    library.registry.register("toy/broken", broken)
    try:
        with pytest.raises(DataError, match=r"cannot give toy/broken .*IR_DATASETS_HOME"):
            open_ir_dataset("toy/broken", cache=tmp_path)
    finally:
        library.registry._registered.pop("toy/broken")


def test_the_extra_is_named_where_the_library_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ir_datasets", None)
    with pytest.raises(MissingExtraError, match=r"unimoer-rag\[ir-datasets\]"):
        open_ir_dataset("msmarco-passage/dev/small")
