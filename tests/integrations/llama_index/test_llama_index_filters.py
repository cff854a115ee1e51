"""LlamaIndex's filters mean here what they say, or are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.retrievers.unimoer import UniMoERIndexRetriever
from llama_index.retrievers.unimoer.filters import to_mapping
from llama_index_helpers import EXACT

from unimoer_rag import UnifiedRetriever
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.store.filters import parse_filters
from unimoer_rag.retrieval.types import Document

AND, OR, NOT = FilterCondition.AND, FilterCondition.OR, FilterCondition.NOT
LANGS, TAGS, YEARS = ["de", "en", "fr"], ["a", "b", "c"], [2019, 2020, 2021]

Filters = MetadataFilter | MetadataFilters


def one(key: str, operator: str, value: Any) -> MetadataFilter:
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def group(*filters: Filters, by: FilterCondition = AND) -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=by)


# By hand


@pytest.mark.parametrize(
    ("filters", "mapping"),
    [
        ([], {}),
        ([one("lang", "==", "en")], {"lang": ["en"]}),
        ([one("tag", "contains", "a")], {"tag": ["a"]}),
        ([one("tag", "any", ["a", "b"])], {"tag": ["a", "b"]}),
        ([one("year", "in", [2019, 2020])], {"year": [2019, 2020]}),
        ([one("lang", "!=", "en")], {"not": {"lang": ["en"]}}),
        ([one("lang", "nin", ["en", "de"])], {"not": {"lang": ["en", "de"]}}),
        (
            [one("lang", "!=", "en"), one("lang", "nin", ["de"])],
            {"not": {"lang": ["en", "de"]}},
        ),
        (
            [one("year", ">", 2000), one("year", ">", 2010), one("year", "<=", 2020)],
            {"year": {"gt": 2010, "lte": 2020}},
        ),
        (
            [one("year", "<", 9), one("year", "<", 7.5), one("year", ">=", 1), one("year", ">", 2)],
            {"year": {"lt": 7.5, "gte": 1, "gt": 2}},
        ),
        (
            [one("source", "==", "a.md"), group(one("year", ">", 1), group(one("a", "!=", 2)))],
            {"source": ["a.md"], "year": {"gt": 1}, "not": {"a": [2]}},
        ),
        (
            [group(one("lang", "==", "en"), one("lang", "in", ["de", "fr"]), by=OR)],
            {"lang": ["en", "de", "fr"]},
        ),
        ([group(one("year", ">", 1), by=OR)], {"year": {"gt": 1}}),
        ([group(one("year", ">", 1), by=NOT)], {"not": {"year": {"gt": 1}}}),
        (
            [group(one("year", ">", 1), one("lang", "==", "en"), by=NOT)],
            {"not": {"year": {"gt": 1}, "lang": ["en"]}},
        ),
        ([group(one("lang", "!=", "en"), by=NOT)], {"lang": ["en"]}),
        ([group(group(one("lang", "==", "en"), by=NOT), by=NOT)], {"lang": ["en"]}),
        (
            [group(group(one("a", "==", 1), one("a", "in", [2, 3]), by=NOT), by=NOT)],
            {"a": [1, 2, 3]},
        ),
        (
            # None of: any of (a is 1, a is 2).
            [group(group(one("a", "==", 1), one("a", "==", 2), by=OR), by=NOT)],
            {"not": {"a": [1, 2]}},
        ),
        (
            # None of: both of (lang is not en, lang is not de); so it is either.
            [group(group(one("lang", "!=", "en"), one("lang", "!=", "de")), by=NOT)],
            {"lang": ["en", "de"]},
        ),
        ([one("lang", "==", "en"), one("lang", "==", "en")], {"lang": ["en"]}),
    ],
)
def test_what_is_meant_in_our_words(filters: list[Filters], mapping: dict[str, Any]) -> None:
    assert to_mapping(group(*filters)) == mapping
    parse_filters(mapping)


def test_no_condition_is_and() -> None:
    filters = MetadataFilters(filters=[one("a", "==", 1), one("b", "==", 2)], condition=None)
    assert to_mapping(filters) == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (one("a", "text_match", "x"), "'a' text_match 'x' cannot be expressed: supported are =="),
        (one("a", "text_match_insensitive", "x"), "text_match_insensitive"),
        (one("a", "is_empty", None), "'a' is_empty None cannot be expressed"),
        (one("a", "all", ["x", "y"]), r"'a' all \['x', 'y'\] cannot be expressed"),
        (one("a", "in", "x,y"), "'a' in 'x,y' cannot be expressed.*take a list"),
        (one("a", "==", ["x"]), r"'a' == \['x'\] cannot be expressed"),
        (one("a", "==", None), "'a' has the value None"),
        (one("a", "in", []), "'a' is an empty list"),
        (one("a", ">", "2020"), "'a' has the value '2020'"),
        (one("a", "<", float("nan")), "'a' has the value nan"),
        (one("not", "==", "x"), "the key 'not'"),
        (one("", "==", "x"), "filter key ''"),
        (group(), "another is empty"),
        (group(one("a", "==", 1), one("a", "==", 2)), "on 'a' cannot be joined"),
        (group(one("a", "==", 1), one("a", ">", 2)), "on 'a' cannot be joined"),
        (group(one("a", ">", 1), one("a", "<", 0), by=NOT), "on 'a' cannot be joined"),
        (group(one("a", "!=", 1), one("b", "==", 2), by=OR), "on 'a', 'b' are joined so that any"),
        (group(one("a", ">", 1), one("a", "<", 0), by=OR), "on 'a' are joined so that any"),
        (group(one("a", "!=", 1), one("a", "!=", 0), by=OR), "on 'a' are joined so that any"),
        (
            group(group(one("a", "==", 1), one("b", "==", 0)), one("a", "==", 2), by=OR),
            "on 'a', 'b' are joined so that any",
        ),
    ],
)
def test_what_cannot_be_expressed_is_named(filters: Filters, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_mapping(group(filters))


# Against the meaning of the filters, evaluated one document at a time


def meets(metadata: Mapping[str, Any], filters: Filters) -> bool:
    """What LlamaIndex says its filters mean; of a list field, any item may meet a condition."""
    if isinstance(filters, MetadataFilters):
        met = [meets(metadata, each) for each in filters.filters]
        return {AND: all(met), OR: any(met), NOT: not any(met)}[filters.condition or AND]
    there = metadata.get(filters.key, [])
    items = there if isinstance(there, list) else [there]
    value: Any = filters.value
    tests = {
        "==": lambda item: item == value,
        "contains": lambda item: item == value,
        "in": lambda item: item in value,
        "any": lambda item: item in value,
        ">": lambda item: item > value,
        ">=": lambda item: item >= value,
        "<": lambda item: item < value,
        "<=": lambda item: item <= value,
    }
    operator = filters.operator.value
    opposite = {"!=": "==", "nin": "in"}.get(operator)
    found = any(tests[opposite or operator](item) for item in items)
    return not found if opposite else found


DOCUMENTS = [
    Document(
        f"Text number {n}.",
        f"{n}.md",
        metadata={
            **({"lang": LANGS[n % 3]} if n % 4 else {}),
            **({"year": YEARS[n // 3 % 3] + (0.5 if n % 5 == 0 else 0)} if n % 7 else {}),
            **({"tag": [tag for at, tag in enumerate(TAGS) if n >> at & 1]} if n % 6 else {}),
        },
    )
    for n in range(36)
]


@pytest.fixture(scope="module")
def filled(minilm_path: Path) -> Iterator[UnifiedRetriever]:
    with UnifiedRetriever(k=len(DOCUMENTS), rerank=0, **EXACT) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def values(operators: list[str], key: str, known: list[Any]) -> st.SearchStrategy[MetadataFilter]:
    single, several = st.sampled_from(known), st.lists(st.sampled_from(known), min_size=1)
    return st.sampled_from(operators).flatmap(
        lambda name: (several if name in ("in", "nin", "any") else single).map(
            lambda value: one(key, name, value)
        )
    )


_EQUALITY = ["==", "!=", "in", "nin", "contains", "any"]
SINGLE = st.one_of(
    values(_EQUALITY, "lang", LANGS),
    values(_EQUALITY, "tag", TAGS),
    values(["==", "!=", "in", "nin", ">", ">=", "<", "<="], "year", [*YEARS, 2020.5]),
)
TREES = st.recursive(
    SINGLE,
    lambda inner: st.builds(
        lambda filters, by: group(*filters, by=by),
        st.lists(inner, min_size=1, max_size=3),
        st.sampled_from([AND, OR, NOT]),
    ),
    max_leaves=6,
)
EITHER = st.sampled_from([("lang", LANGS), ("tag", TAGS), ("year", YEARS)]).flatmap(
    lambda field: st.lists(values(["==", "in"], *field), min_size=1, max_size=3).map(
        lambda filters: group(*filters, by=OR)
    )
)
# On each key what can be joined into one, so that all of these can be expressed.
EXPRESSIBLE = st.tuples(
    st.lists(values(["!=", "nin"], "lang", LANGS), max_size=2),
    st.lists(
        values(["==", "in", "contains", "any"], "lang", LANGS).map(
            lambda each: group(each, by=NOT)
        ),
        max_size=2,
    ),
    st.lists(values([">", ">=", "<", "<="], "year", [*YEARS, 2020.5]), max_size=3),
    st.lists(values(["==", "in", "contains", "any"], "tag", TAGS), max_size=1),
).map(lambda parts: group(*(each for part in parts for each in part)))

_quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(filled: UnifiedRetriever, filters: MetadataFilters) -> None:
    found = UniMoERIndexRetriever(filled, filters=filters).retrieve("text")
    expected = {doc.source for doc in DOCUMENTS if meets(doc.metadata, filters)}
    assert {node.metadata["source"] for node in found} == expected


@_quick
@given(tree=TREES)
def test_any_filters_are_met_or_refused(filled: UnifiedRetriever, tree: Filters) -> None:
    filters = group(tree)
    try:
        to_mapping(filters)
    except InputError:
        return
    check(filled, filters)


@_quick
@given(filters=EXPRESSIBLE, either=EITHER)
def test_what_can_be_expressed_is_not_refused(
    filled: UnifiedRetriever, filters: MetadataFilters, either: MetadataFilters
) -> None:
    check(filled, filters)
    check(filled, either)
    check(filled, group(either, by=NOT))
