"""LlamaIndex's filters mean here what they say, or are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
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
DAYS = ["2024-02-29", "2024-03-01T10:00:00", "2024-03-01T10:00:00+01:00"]
NAMES = ["Red kayak", "A kayak for two", "red tent", "Tent"]

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
        ([one("lang", "==", "en")], {"lang": "en"}),
        ([one("tag", "contains", "a")], {"tag": "a"}),
        ([one("tag", "any", ["a", "b"])], {"tag": ["a", "b"]}),
        ([one("tag", "all", ["a", "b"])], {"all": [{"tag": "a"}, {"tag": "b"}]}),
        ([one("year", "in", [2019, 2020])], {"year": [2019, 2020]}),
        ([one("lang", "!=", "en")], {"not": {"lang": "en"}}),
        ([one("lang", "nin", ["en", "de"])], {"not": {"lang": ["en", "de"]}}),
        ([one("name", "text_match", "Free kayaks")], {"name": {"words": "Free kayaks"}}),
        ([one("name", "text_match_insensitive", "x")], {"name": {"words": "x"}}),
        ([one("day", ">=", "2024-02-29")], {"day": {"gte": "2024-02-29"}}),
        ([one("lang", "is_empty", None)], {"lang": {"empty": True}}),
        (
            [one("year", ">", 2000), one("year", "<=", 2020)],
            {"all": [{"year": {"gt": 2000}}, {"year": {"lte": 2020}}]},
        ),
        (
            [group(one("lang", "==", "en"), one("tag", "in", ["a", "b"]), by=OR)],
            {"any": [{"lang": "en"}, {"tag": ["a", "b"]}]},
        ),
        ([group(one("year", ">", 1), by=OR)], {"year": {"gt": 1}}),
        ([group(one("year", ">", 1), by=NOT)], {"not": {"any": [{"year": {"gt": 1}}]}}),
        (
            [one("a", "==", 1), group(group(one("b", "!=", 2), by=NOT), one("c", ">=", 3), by=OR)],
            {
                "all": [
                    {"a": 1},
                    {"any": [{"not": {"any": [{"not": {"b": 2}}]}}, {"c": {"gte": 3}}]},
                ]
            },
        ),
        ([one("any", "in", ["x"]), one("all", "==", 1)], {"all": [{"any": ["x"]}, {"all": 1}]}),
    ],
)
def test_what_is_meant_in_our_words(filters: list[Filters], mapping: dict[str, Any]) -> None:
    assert to_mapping(group(*filters)) == mapping
    parse_filters(mapping)


def test_no_condition_is_and() -> None:
    filters = MetadataFilters(filters=[one("a", "==", 1), one("b", "==", 2)], condition=None)
    assert to_mapping(filters) == {"all": [{"a": 1}, {"b": 2}]}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (one("a", "in", "x,y"), "'a' in 'x,y' cannot be used: expected a list of values"),
        (one("a", "all", "x"), "'a' all 'x' cannot be used: expected a list of values"),
        (one("a", "==", ["x"]), r"'a' == \['x'\] cannot be used: expected a single value"),
        (one("a", "text_match", ["x"]), "expected a single value"),
        (one("a", "text_match", 3), "'a' has the words 3"),
        (one("a", "text_match", " "), "'a' has the words ' '"),
        (one("a", "==", None), "'a' has the value None"),
        (one("a", "in", []), r"'a' in \[\] has no values"),
        (one("a", "all", []), r"'a' all \[\] has no values"),
        (one("a", ">", "2020"), "'a' has the value '2020'"),
        (one("a", "<", float("nan")), "'a' has the value nan"),
        (one("not", "==", "x"), "the key 'not'"),
        (one("", "==", "x"), "filter key ''"),
        (group(), "another is empty"),
    ],
)
def test_what_cannot_be_used_is_named(
    filled: UnifiedRetriever, filters: Filters, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        UniMoERIndexRetriever(filled, filters=group(filters))


# Against the meaning of the filters, evaluated one document at a time


def compared(one: Any, other: Any) -> int | None:
    """Numbers by size, dates by time; None for what is neither."""
    if one == "soon":
        return None
    if isinstance(one, str):
        one, other = (datetime.fromisoformat(text) for text in (one, other))
        one, other = (at if at.tzinfo else at.replace(tzinfo=UTC) for at in (one, other))
    return int(one > other) - int(one < other)


def meets(metadata: Mapping[str, Any], filters: Filters) -> bool:
    """What LlamaIndex says its filters mean; of a list field, any item may meet a condition."""
    if isinstance(filters, MetadataFilters):
        met = [meets(metadata, each) for each in filters.filters]
        return {AND: all(met), OR: any(met), NOT: not any(met)}[filters.condition or AND]
    there = metadata.get(filters.key, [])
    items = there if isinstance(there, list) else [there]
    value: Any = filters.value
    if filters.operator == FilterOperator.IS_EMPTY:
        return there == []
    if filters.operator == FilterOperator.ALL:
        return all(each in items for each in value)
    tests = {
        "==": lambda item: item == value,
        "contains": lambda item: item == value,
        "text_match": lambda item: set(value.lower().split()) <= set(item.lower().split()),
        "in": lambda item: item in value,
        "any": lambda item: item in value,
        ">": lambda item: compared(item, value) == 1,
        ">=": lambda item: compared(item, value) in (0, 1),
        "<": lambda item: compared(item, value) == -1,
        "<=": lambda item: compared(item, value) in (0, -1),
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
            **({"day": DAYS[n % 3] if n % 4 else "soon"} if n % 5 else {}),
            **({"name": NAMES[n % 4]} if n % 3 else {}),
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
        lambda name: (several if name in ("in", "nin", "any", "all") else single).map(
            lambda value: one(key, name, value)
        )
    )


def empty(key: str) -> st.SearchStrategy[MetadataFilter]:
    return st.just(one(key, "is_empty", None))


_EQUALITY = ["==", "!=", "in", "nin", "contains", "any"]
SINGLE = st.one_of(
    values(_EQUALITY, "lang", LANGS),
    values([*_EQUALITY, "all"], "tag", TAGS),
    values(["text_match", "=="], "name", [*NAMES, "kayak", "TENT red", "none"]),
    st.sampled_from(["lang", "tag", "year", "nothing"]).flatmap(empty),
    values(["==", "!=", "in", "nin", ">", ">=", "<", "<="], "year", [*YEARS, 2020.5]),
    values([">", ">=", "<", "<="], "day", [*DAYS, "2024-03-01", "2024-03-01 09:00:00Z"]),
    values(["==", "!=", "in"], "day", DAYS),
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
_quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(filled: UnifiedRetriever, filters: MetadataFilters) -> None:
    found = UniMoERIndexRetriever(filled, filters=filters).retrieve("text")
    expected = {doc.source for doc in DOCUMENTS if meets(doc.metadata, filters)}
    assert {node.metadata["source"] for node in found} == expected


@_quick
@given(tree=TREES)
def test_any_filters_mean_what_they_say(filled: UnifiedRetriever, tree: Filters) -> None:
    check(filled, group(tree))
