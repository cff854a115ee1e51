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
from unimoer_rag.retrieval.metadata import check_metadata


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
    ([1, 2.5, True, date(2024, 1, 1), None], [1, 2.5, True, "2024-01-01", None]),
    ({"b", "a"}, ["a", "b"]),
    (frozenset({2, 1}), [1, 2]),
    (np.array([1, 2]), [1, 2]),
    (np.array(1.5), 1.5),
    (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    ([], []),
    ({"line": 3, "at": date(2024, 1, 1)}, {"line": 3, "at": "2024-01-01"}),
    ([{"line": (1, None)}], [{"line": [1, None]}]),
    (None, None),
    (math.nan, None),
    (Decimal("nan"), None),
    (np.float64("nan"), None),
    (np.datetime64("NaT"), None),
]


@pytest.mark.parametrize(("value", "expected"), KEPT, ids=lambda value: type(value).__name__)
def test_a_value_is_kept(value: Any, expected: Any) -> None:
    assert coerce_metadata({"key": value}) == ({"key": expected}, {})
    assert type(coerce_metadata({"key": value})[0]["key"]) is type(expected)


def test_missing_times_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    row = {"none": pandas.NaT, "day": pandas.Timestamp("2024-02-29")}
    assert coerce_metadata(row) == ({"none": None, "day": "2024-02-29T00:00:00"}, {})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["a", b"b"], "list"),
        (b"bytes", "bytes"),
        (math.inf, "float"),
        (Decimal("inf"), "Decimal"),
        (Decimal("sNaN"), "Decimal"),
        (Fraction(10**400), "Fraction"),
        (1j, "complex"),
        (object(), "object"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_kept_is_named(value: Any, kind: str) -> None:
    assert coerce_metadata({"key": value, "other": 1}) == ({"other": 1}, {"key": kind})


def test_only_the_unfit_part_of_a_mapping_is_left_out() -> None:
    metadata = {"loc": {"line": 3, "raw": b"", "in": {"x": 1j, "": 1}}, "n": [{"raw": b"", "a": 1}]}
    kept, dropped = coerce_metadata(metadata)
    assert kept == {"loc": {"line": 3, "in": {}}, "n": [{"a": 1}]}
    assert dropped == {
        "loc.raw": "bytes",
        "loc.in.x": "complex",
        "loc.in.": "int",
        "n.raw": "bytes",
    }


def test_what_has_no_end_is_left_out() -> None:
    itself: dict[str, Any] = {"a": 1}
    itself |= {"b": itself, "c": itself}
    items: list[Any] = []
    items += [items, items]
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    metadata = {"itself": itself, "items": items, "deep": deep, "n": 1}
    told = dict.fromkeys(("itself", "items", "deep"), "nested too deep")
    assert coerce_metadata(metadata) == ({"n": 1}, told)


def test_an_index_keeps_what_is_as_deep_as_may_be() -> None:
    deep: Any = 1
    for n in range(30):
        deep = [deep] if n % 2 else {"k": deep}
    kept, dropped = coerce_metadata({"deep": deep})
    assert dropped == {}
    check_metadata(kept, "a.md")


def test_keys_become_text() -> None:
    given_ = {7: "a", Kind.FAQ: "b", date(2024, 1, 1): "c", None: "d", ("x",): "e", "": "f"}
    kept, dropped = coerce_metadata(given_)
    assert kept == {"7": "a", "faq": "b", "2024-01-01": "c"}
    assert dropped == {"None": "str", "('x',)": "str", "": "str"}


def test_nothing_given_is_changed() -> None:
    metadata = {"tags": ["a", None], "loc": {"line": 3}}
    coerce_metadata(metadata)
    assert metadata == {"tags": ["a", None], "loc": {"line": 3}}


def test_what_was_left_out_is_told_once_for_all() -> None:
    coercion = Coercion()
    assert coercion({"loc": 1j, "a": 1}) == {"a": 1}
    assert coercion({"loc": 2j, "raw": b""}) == {}
    with pytest.warns(
        UserWarning, match=r"left out: 'loc' \(complex\), 'raw' \(bytes\); give"
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


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text() | st.integers() | st.dates() | st.none(), _ANYTHING))
def test_any_metadata_become_what_an_index_keeps(metadata: dict[Any, Any]) -> None:
    kept, dropped = coerce_metadata(metadata)
    check_metadata(kept, "a.md")  # a store takes it
    assert coerce_metadata(kept) == (kept, {})  # what is kept is kept as it is
    assert all(type(key) is type(kind) is str for key, kind in dropped.items())
    assert json.loads(json.dumps(kept)) == kept
