"""Filters: Haystack's own conformance tests, and its own judgement of every filter we translate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.errors import FilterError
from haystack.testing.document_store import FilterDocumentsTest
from haystack.utils.filters import document_matches_filter
from haystack_integrations.components.retrievers.unimoer import UniMoERRetriever
from haystack_integrations.components.retrievers.unimoer.filters import (
    RefusedFilterError,
    to_mapping,
)

from unimoer_rag import UnifiedRetriever
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import parse_filters, types
from unimoer_rag.retrieval.store.filters import matches


class Store:
    """An index as the conformance tests see a document store: it is asked by the retriever."""

    def __init__(self, unified: UnifiedRetriever) -> None:
        self.unified = unified
        self.written: dict[str, Document] = {}

    def write_documents(self, documents: list[Document]) -> None:
        self.unified.add(
            [types.Document(d.content or "", d.id, metadata=d.meta) for d in documents]
        )
        self.written |= {document.id: document for document in documents}

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        retriever = UniMoERRetriever(self.unified, top_k=100)
        found = retriever.run("anything", filters=filters)["documents"]
        ids = {document.meta["source"] for document in found}
        return [document for key, document in self.written.items() if key in ids]


class TestConformance(FilterDocumentsTest):
    @pytest.fixture
    def document_store(self, tiny_bert: Path) -> Iterator[Store]:
        with UnifiedRetriever(str(tiny_bert), rerank=0, chunking="whole") as unified:
            yield Store(unified)


def by(field: str, operator: str, value: object) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def joined(operator: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"operator": operator, "conditions": list(conditions)}


METAS: list[dict[str, Any]] = [
    {},
    {"year": 2020, "lang": "en"},
    {"year": 2021.5, "lang": "de", "draft": True},
    {"year": None, "lang": "en", "draft": False},
    {"lang": "fr"},
]
SINGLE = [
    by(field, operator, value)
    for field, operators, values in (
        ("meta.year", ("==", "!=", ">", ">=", "<", "<="), (2020, 2021.5, None)),
        ("meta.lang", ("==", "!="), ("en", "no", None)),
        ("meta.draft", ("==", "!="), (True, False)),
        ("lang", ("in", "not in"), (["en", "fr"], [], [None], ["de", None])),
    )
    for operator, value in product(operators, values)
]


def judged(filters: dict[str, Any]) -> list[bool]:
    """By the index: which metadata meet the filters."""
    conditions = parse_filters(to_mapping(filters))
    return [matches(conditions, {"metadata": meta}) for meta in METAS]


def expected(filters: dict[str, Any]) -> list[bool]:
    """By Haystack."""
    return [document_matches_filter(filters, Document(content="x", meta=meta)) for meta in METAS]


def test_every_filter_means_what_it_means_to_haystack() -> None:
    assert len(SINGLE) == 36
    for one in SINGLE:
        assert judged(one) == expected(one), one
    for operator, one, other in product(["AND", "OR", "NOT"], SINGLE[::2], SINGLE[::5]):
        both = joined(operator, one, other)
        assert judged(both) == expected(both), both


def test_groups_are_nested_as_deep_as_one_likes() -> None:
    filters = joined("NOT", SINGLE[0])
    for at in range(8):
        operator = ("OR", "NOT", "AND")[at % 3]
        filters = joined(operator, filters, SINGLE[3 * at + 1], joined("NOT", SINGLE[at + 20]))
        assert judged(filters) == expected(filters), filters
    assert 0 < sum(judged(joined("NOT", joined("NOT", SINGLE[0])))) < len(METAS)


def test_the_passages_own_fields_are_reached() -> None:
    assert to_mapping(by("meta.source", "==", "a.md")) == {"source": "a.md"}
    assert to_mapping(by("title", "in", ["A", "B"])) == {"any": [{"title": ["A", "B"]}]}
    assert to_mapping(None) == to_mapping({}) == {}


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (by("meta.year", "~", 3), "operator '~': expected one of ==, !=,"),
        (joined("XOR", by("meta.year", "==", 3)), "logical operator 'XOR': expected one of AND"),
        (joined("AND"), "conditions of AND are \\[\\]: expected a list"),
        ({"operator": "AND", "conditions": ["x"]}, "a filter is 'x': expected a dictionary"),
        ({"year": 3}, "has no 'operator': expected field, operator and value"),
        (by("meta.year", "==", [3]), "cannot be used: expected a single value"),
        (by("meta.year", "in", 3), "cannot be used: expected a list of values"),
        (by("meta.year", "==", {"a": 1}), "expected a single value"),
        (by("meta.year", ">", "soon"), "filter 'year' has the value 'soon'"),
        (by("meta.person.name", "==", "x"), "field 'meta.person.name', which an index cannot"),
        (by("content", "==", "x"), "field 'content', which an index cannot"),
        (by("meta.not", "==", "x"), "field 'meta.not'"),
        (by("meta.", "==", "x"), "field 'meta.'"),
    ],
)
def test_what_cannot_be_asked_is_refused_as_both_worlds_expect(
    filters: dict[str, Any], said: str
) -> None:
    with pytest.raises(RefusedFilterError, match=said) as refused:
        to_mapping(filters)
    assert isinstance(refused.value, FilterError)
    assert isinstance(refused.value, InputError)
