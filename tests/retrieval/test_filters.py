from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.metadata import field_path
from unimoer_rag.retrieval.store.dates import instant
from unimoer_rag.retrieval.store.engine_filters import to_client_filter, to_edge_filter
from unimoer_rag.retrieval.store.filters import Condition, Either, parse_filters


def deep(key: str, n: int) -> dict[str, object]:
    filters: dict[str, object] = {"a": 1}
    for _ in range(n):
        filters = {key: [filters]}
    return filters


def test_one_form_for_all() -> None:
    assert parse_filters(None) == parse_filters({}) == ()
    assert parse_filters({"source": "a.md"}) == (Condition("source", ("a.md",)),)
    assert parse_filters({"tag": ["a", True]}) == (Condition("tag", ("a", True)),)
    assert parse_filters({"year": 2020, "not": {"a.b": {"lt": 3}}}) == (
        Condition("year", ranges=({"gte": 2020.0, "lte": 2020.0},)),
        Condition("a.b", ranges=({"lt": 3.0},), negated=True),
    )


def test_filters_of_filters_in_one_form() -> None:
    a, b = Condition("a", ("x",)), Condition("b", ("y",))
    assert parse_filters({"any": [{"a": "x"}, {"a": "x", "b": "y"}]}) == (Either(((a,), (a, b))),)
    assert parse_filters({"all": [{"a": "x"}, {"b": "y"}]}) == (a, b)
    assert parse_filters({"not": {"all": [{"a": "x"}, {"b": "y"}]}}) == (
        Either(((a, b),), negated=True),
    )
    assert parse_filters({"a": {"words": "two words"}}) == (Condition("a", words="two words"),)
    assert parse_filters({"a": {"empty": False}}) == (Condition("a", negated=True, empty=True),)
    # Names of metadata where no list of filters is meant.
    assert parse_filters({"any": ["x", 1], "all": "y"}) == (
        Condition("any", ("x",), ({"gte": 1.0, "lte": 1.0},)),
        Condition("all", ("y",)),
    )


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("tag", "metadata.tag"),
        ("a.b", 'metadata."a.b"'),
        ("größe", 'metadata."größe"'),
        ('a"b', 'quoted.metadata."a%22b"'),
        ("a\\b%", 'quoted.metadata."a%5Cb%25"'),
    ],
)
def test_paths(key: str, path: str) -> None:
    assert field_path(key) == path


def test_bounds_that_are_dates() -> None:
    filters = {"day": {"gte": "2024-02-29", "lt": "2024-02-29T10:00:00+01:00"}}
    begin, end = datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 2, 29, 9, tzinfo=UTC)
    [condition] = parse_filters(filters)
    assert condition == Condition("day", dates={"gte": begin, "lt": end})
    assert parse_filters({"not": filters}) == (replace(condition, negated=True),)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", "2024-02-29 00:00:00+00:00"),
        (" 2024-2-9 1:2:3.5 UTC", "2024-02-09 01:02:03.500000+00:00"),
        ("2024-02-29T10:00", "2024-02-29 10:00:00+00:00"),
        ("2024-02-29t10:00:00.1234567z", "2024-02-29 10:00:00.123456+00:00"),
        ("2024-02-29T10:00:00+01", "2024-02-29 10:00:00+01:00"),
        ("2024-02-29 10:00:00 -0930", "2024-02-29 10:00:00-09:30"),
        ("2024-02-29T10:00Z", "None"),
        ("2024-02-30", "None"),
        ("2024-02-29T10:00:60", "None"),
        ("2024-02-29T10:00:00+24:00", "None"),
        ("２０２４-02-29", "None"),
        ("2024-02-29 and more", "None"),
        ("20240229", "None"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert str(instant(text)) == moment


def test_nothing_to_filter_is_no_filter() -> None:
    assert to_edge_filter(()) is None
    assert to_client_filter(()) is None


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([], None),
        (["source"], "expected a mapping"),
        ("source", "expected a mapping"),
        ({"": "x"}, "filter key ''.*source, title"),
        ({3: "x"}, "filter key 3"),
        ({"\ud800": "x"}, "surrogate"),
        ({"tag": "\ud800"}, "surrogate"),
        ({"tag": []}, "'tag' is an empty list"),
        ({"tag": None}, "'tag' has the value None"),
        ({"tag": [None]}, "'tag' has the value None"),
        ({"tag": object()}, "'tag' has the value"),
        ({"year": math.nan}, "'year' has the value nan"),
        ({"year": 10**400}, "'year' has the value"),
        ({"year": {}}, "'year' has no operator; choose from gt, gte, lt, lte"),
        ({"year": {"from": 3}}, "'year' has unknown operator 'from'; choose from gt"),
        ({"year": {"gte": "2020"}}, "'year' has the value '2020' as a bound; expected dates or"),
        ({"day": {"gte": "2024-02-30"}}, "'day' has the value '2024-02-30' as a bound"),
        ({"day": {"gte": "2024-02-29", "lt": 3}}, "'day' has the value 3 as a bound"),
        ({"year": {"gte": True}}, "'year' has the value True"),
        ({"year": {"lt": math.inf}}, "'year' has the value inf"),
        ({"not": "draft"}, "expected a mapping"),
        ({"any": []}, "'any' is an empty list"),
        ({"any": [{"a": 1}, {}]}, "'any' holds an empty filter"),
        ({"all": [{"a": 1}, "b"]}, "'all' has the value {'a': 1}"),
        ({"all": [{"a": None}]}, "'a' has the value None"),
        ({"a": {"words": ""}}, "'a' has the words ''"),
        ({"a": {"words": "-!"}}, "'a' has the words '-!'"),
        ({"a": {"words": ["x"]}}, r"'a' has the words \['x'\]"),
        ({"a": {"words": "x", "gt": 1}}, "unknown operator 'words'; choose from gt"),
        ({"a": {"empty": None}}, "'a' is empty: None; expected True or False"),
        (deep("any", 40), "more than 32 deep"),
        (deep("all", 2000), "more than 32 deep"),
        ({"not": {"not": {"a": 1}}}, "inside another 'not'"),
    ],
)
def test_what_cannot_be_used_is_named(filters, message) -> None:
    if message is None:
        assert parse_filters(filters) == ()
        return
    with pytest.raises(InputError, match=message):
        parse_filters(filters)
