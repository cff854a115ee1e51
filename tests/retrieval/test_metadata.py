"""Metadata and filters from the retriever's door to the engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_contract import DIMENSION

from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.metadata import check_metadata, clean, parts
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.sparse import SparseVector
from unimoer_rag.retrieval.store import EdgeStore, MemoryStore, Record
from unimoer_rag.retrieval.types import Document, Passage

INTEGERS = st.integers(-(2**63), 2**63 - 1)
LARGE = st.integers(2**53 - 3, 2**53 + 3) | st.integers(2**60 - 300, 2**60 + 300)
NUMBERS = INTEGERS | LARGE | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.booleans() | NUMBERS | st.text(max_size=5)
VALUES = SCALARS | st.none() | st.lists(SCALARS, max_size=3)
KEYS = st.text(min_size=1, max_size=4) | st.sampled_from(['"', "\\", "a.b", "[0]", "%5C", "flags"])
OPERATORS = st.sampled_from(["gt", "gte", "lt", "lte"])
RANGES = st.dictionaries(OPERATORS, NUMBERS, min_size=1, max_size=2)
WANTED = SCALARS | st.lists(SCALARS, min_size=1, max_size=3) | RANGES


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EdgeStore, MemoryStore]]:
    path = tmp_path_factory.mktemp("metadata") / "index"
    with (
        EdgeStore(path, dimension=DIMENSION) as edge,
        MemoryStore(dimension=DIMENSION) as memory,
    ):
        yield edge, memory


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_folder_and_memory_agree(
    stores: tuple[EdgeStore, MemoryStore], data: st.DataObject
) -> None:
    keys = data.draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    metadata = st.dictionaries(st.sampled_from(keys), VALUES)
    documents = data.draw(st.lists(metadata, min_size=1, max_size=8))
    used = [value for one in documents for value in one.values() if isinstance(value, SCALAR)]
    wanted = WANTED | st.sampled_from(used) if used else WANTED
    filters = data.draw(st.lists(st.dictionaries(st.sampled_from(keys), wanted), max_size=6))
    records = [
        Record(
            Passage(f"text {n}", f"d{n}", metadata=one),
            np.ones(DIMENSION, np.float32),
            SparseVector((), ()),
        )
        for n, one in enumerate(documents)
    ]
    found: list[list[Any]] = []
    for store in stores:
        store.delete([passage.id for passage in store.scroll()])
        store.upsert(records)
        found.append([[p.source for p in store.scroll(one)] for one in filters])
        found[-1] += [[p.source for p in store.scroll({"not": one})] for one in filters if one]
        found[-1].append([repr(p.metadata) for p in store.scroll()])
    assert found[0] == found[1]


SCALAR = (str, bool, int, float)


@given(NUMBERS, NUMBERS)
def test_parts_are_ordered_as_numbers_are(one: float, other: float) -> None:
    first, second = ([*parts(n).values()] for n in (one, other))
    assert (first < second, first == second) == (one < other, one == other)
    assert all(float(part) == part for part in (*first, *second))


@given(st.dictionaries(KEYS, VALUES))
def test_what_can_be_stored_is_taken(metadata: dict[str, Any]) -> None:
    check_metadata(clean(metadata), "a.md")


def test_filters_meet_what_was_cleaned(minilm: UniMoER) -> None:
    """Control characters and halves of surrogate pairs are no text, stored or looked for."""
    odd = {"a\0b": "x\x07y", "tags": ["\ud800", "z"], "numbers": [1, 2.5]}
    with UnifiedRetriever(minilm, rerank=0) as retriever:
        retriever.add([Document("Refunds take long.", "a", metadata=odd), "Other."])
        for filters in (
            {"a\0b": "x\x07y"},
            {"a b": "x y"},
            {"tags": "\ud800"},
            {"tags": ("\ufffd", "none")},
            {"numbers": {"gt": 2}},
            {"not": {"source": retriever.search("other")[0].source}},
        ):
            assert [hit.source for hit in retriever.search("refunds", filters=filters)] == ["a"]
        assert retriever.delete(filters={"a\0b": "x\x07y"}) == 1


def test_bad_metadata_is_told_before_anything_is_embedded(
    minilm: UniMoER, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    with UnifiedRetriever(minilm) as retriever:
        monkeypatch.setattr(retriever.engine, "submit", runs.append)
        for value in (2**63, float("inf"), object(), {"a": {1, 2}}):
            bad = Document("text", "a.md", metadata={"k": value})  # type: ignore[dict-item]
            with pytest.raises(InputError, match=r"metadata of 'a\.md' cannot be stored: 'k'"):
                retriever.add([bad])
        assert runs == []


@pytest.mark.slow
def test_the_first_hits_of_many_are_those_of_few(minilm: UniMoER, tmp_path: Path) -> None:
    texts = [f"Refund number {n % 7} of the shop is paid." for n in range(40)]
    documents = [Document(text, f"d{n}") for n, text in enumerate(texts)]
    query = "which refund does the shop pay?"
    for index in (None, tmp_path / "index"):
        with UnifiedRetriever(minilm, index=index, rerank=0) as retriever:
            retriever.add(documents)
            for mode in ("dense", "sparse", "hybrid"):
                longest = retriever.search(query, k=40, mode=mode)  # type: ignore[arg-type]
                assert len(longest) == 40
                for k in (1, 3, 6, 11, 25, 39):
                    assert retriever.search(query, k=k, mode=mode) == longest[:k]  # type: ignore[arg-type]
