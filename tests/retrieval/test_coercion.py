"""Metadata as they come, made into what an index keeps."""

from __future__ import annotations

import json
import math
import uuid
import warnings
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimoer_rag.retrieval.coercion import Coercion, coerce_metadata


class Kind(StrEnum):
    FAQ = "faq"


class Level(IntEnum):
    HIGH = 3


class Place(Enum):
    DESK = PurePosixPath("a/b")


class Loud(str):
    def __str__(self) -> str:
        return self.upper()


KEPT: list[tuple[Any, Any]] = [
    ("text", "text"),
    ("", ""),
    (Loud("soft"), "soft"),
    (True, True),
    (7, 7),
    (-(2**63), -(2**63)),
    (2**63 - 1, 2**63 - 1),
    (2**63, "9223372036854775808"),
    (1.5, 1.5),
    (np.bool_(False), False),
    (np.int32(7), 7),
    (np.uint64(2**64 - 1), str(2**64 - 1)),
    (np.float32(0.5), 0.5),
    (np.str_("é"), "é"),
    (Decimal("19.99"), 19.99),
    (Decimal("9007199254740993"), 9007199254740993),
    (Decimal(2) ** 63, "9223372036854775808"),
    (Fraction(1, 4), 0.25),
    (date(2024, 2, 29), "2024-02-29"),
    (datetime(2024, 2, 29, 12, 30, tzinfo=UTC), "2024-02-29T12:30:00+00:00"),
    (time(9, 5), "09:05:00"),
    (timedelta(minutes=2), 120.0),
    (np.datetime64("2024-02-29T01:00"), "2024-02-29T01:00:00"),
    (np.timedelta64(2, "m"), 120.0),
    (PurePosixPath("docs/a.md"), "docs/a.md"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (ip_address("::1"), "::1"),
    (Kind.FAQ, "faq"),
    (Level.HIGH, 3),
    (Place.DESK, "a/b"),
    (["a", "b"], ["a", "b"]),
    (("a",), ["a"]),
    ([1, 2.5, True, date(2024, 1, 1), None], ["1", "2.5", "True", "2024-01-01"]),
    ({"b", "a"}, ["a", "b"]),
    (frozenset({2, 1}), ["1", "2"]),
    (np.array([1, 2]), ["1", "2"]),
    (np.array(1.5), 1.5),
    ([], []),
]


@pytest.mark.parametrize(("value", "expected"), KEPT, ids=repr)
def test_a_value_is_kept(value: Any, expected: Any) -> None:
    assert coerce_metadata({"key": value}) == ({"key": expected}, {})
    assert type(coerce_metadata({"key": value})[0]["key"]) is type(expected)


@pytest.mark.parametrize(
    "value", [None, math.nan, Decimal("nan"), np.float64("nan"), np.datetime64("NaT")], ids=repr
)
def test_what_is_missing_is_left_out_silently(value: Any) -> None:
    assert coerce_metadata({"key": value, "other": 1}) == ({"other": 1}, {})
    assert coerce_metadata({"key": [value, "a"]}) == ({"key": ["a"]}, {})


def test_missing_times_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    row = {"none": pandas.NaT, "day": pandas.Timestamp("2024-02-29")}
    assert coerce_metadata(row) == ({"day": "2024-02-29T00:00:00"}, {})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"line": 3}, "dict"),
        ([{"line": 3}], "list"),
        ([["a"], ["b"]], "list"),
        (np.eye(2), "ndarray"),
        (b"bytes", "bytes"),
        (math.inf, "float"),
        (Decimal("inf"), "Decimal"),
        (Decimal("sNaN"), "Decimal"),
        (Fraction(10**400), "Fraction"),
        (1j, "complex"),
        (object(), "object"),
    ],
    ids=repr,
)
def test_what_cannot_be_kept_is_named(value: Any, kind: str) -> None:
    assert coerce_metadata({"key": value, "other": 1}) == ({"other": 1}, {"key": kind})


def test_keys_become_text() -> None:
    given_ = {7: "a", Kind.FAQ: "b", date(2024, 1, 1): "c", None: "d", ("x",): "e"}
    kept, dropped = coerce_metadata(given_)
    assert kept == {"7": "a", "faq": "b", "2024-01-01": "c"}
    assert dropped == {"None": "str", "('x',)": "str"}


def test_nothing_given_is_changed() -> None:
    metadata = {"tags": ["a", None], "loc": {"line": 3}}
    coerce_metadata(metadata)
    assert metadata == {"tags": ["a", None], "loc": {"line": 3}}


def test_what_was_left_out_is_told_once_for_all() -> None:
    coercion = Coercion()
    assert coercion({"loc": {"line": 3}, "a": 1, "none": None}) == {"a": 1}
    assert coercion({"loc": {"line": 4}, "raw": b""}) == {}
    with pytest.warns(
        UserWarning, match=r"left out: 'loc' \(dict\), 'raw' \(bytes\); give"
    ) as told:
        coercion.tell(stacklevel=1)
    assert len(told) == 1
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coercion.tell()
        Coercion().tell()


_SCALARS = (
    st.none()
    | st.text()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.binary()
    | st.complex_numbers()
    | st.sampled_from([*Kind, *Level, *Place])
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text() | st.integers() | st.dates() | st.none(), _ANYTHING))
def test_any_metadata_become_what_an_index_keeps(metadata: dict[Any, Any]) -> None:
    kept, dropped = coerce_metadata(metadata)
    for key, value in kept.items():
        assert type(key) is str
        if isinstance(value, list):
            assert {type(item) for item in value} <= {str}
        else:
            assert type(value) in (str, bool, int, float)
        if isinstance(value, int):
            assert -(2**63) <= value < 2**63
        if isinstance(value, float):
            assert math.isfinite(value)
    assert coerce_metadata(kept) == (kept, {})  # what is kept is kept as it is
    json.loads(json.dumps(kept))
    assert all(type(key) is type(kind) is str for key, kind in dropped.items())
    assert len(kept) + len(dropped) <= len(metadata)
