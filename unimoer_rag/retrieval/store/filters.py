"""Filters users write as one mapping, checked once and turned into either engine's objects.

```python
{"source": "a.md"}                          the passage field equals
{"year": {"gte": 2020, "lt": 2024}}         the number lies in a range
{"tag": ["a", "b"]}                         equals any of (a list field: holds any of)
{"lang": "en", "not": {"tag": "draft"}}     both; what meets any condition under "not" is out
```

`source` and `title` are the passage's own fields; every other key is one of its metadata.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import models

__all__ = [
    "FLAGS",
    "Condition",
    "Filters",
    "flags_of",
    "parse_filters",
    "to_client_filter",
    "to_edge_filter",
]

Filters = Mapping[str, Any]

_FIELDS = ("source", "title")
_OPERATORS = ("gt", "gte", "lt", "lte")
# qdrant-edge-py 0.9 reads MatchValue(True) as the number 1, which equals no boolean; booleans are
# therefore stored a second time, as strings, in this payload field of the embedded home.
FLAGS = "flags"

_BARE_KEY = re.compile(r"[A-Za-z0-9_]+\Z")


@dataclass(frozen=True, slots=True)
class Condition:
    """One key that must (or, when negated, must not) meet any of these.

    Attributes:
        key: path into the payload.
        values: strings and booleans to equal.
        ranges: bounds by operator for a number to lie in. A number to equal is the range
            from it to itself: engines match only whole numbers, and 5 should find 5.0.
        negated: whether passages that meet it are left out.
    """

    key: str
    values: tuple[str | bool, ...] = ()
    ranges: tuple[Mapping[str, float], ...] = ()
    negated: bool = False


def parse_filters(filters: Filters | None) -> tuple[Condition, ...]:
    """Check the user's filters and bring them into one form.

    Raises:
        InputError: a key, operator or value cannot be used.
    """
    return tuple(_conditions(filters or {}, negated=False))


def _conditions(filters: Filters, *, negated: bool) -> Iterator[Condition]:
    if not isinstance(filters, Mapping):
        raise InputError(
            f"filters are {filters!r}; expected a mapping such as {{'source': 'a.md'}}"
        )
    for key, wanted in filters.items():
        if key == "not":
            if negated:
                raise InputError("filter 'not' stands inside another 'not'; write it once")
            yield from _conditions(wanted, negated=True)
            continue
        path = _path(key)
        if isinstance(wanted, Mapping):
            yield Condition(path, ranges=(_bounds(key, wanted),), negated=negated)
            continue
        many = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
        if not many:
            raise InputError(
                f"filter {key!r} is an empty list, which no passage meets; give values or drop it"
            )
        values: list[str | bool] = []
        ranges: list[Mapping[str, float]] = []
        for value in many:
            if isinstance(value, bool):
                values.append(value)
            elif isinstance(value, str):
                values.append(_text(key, value))
            else:
                number = _number(key, value)
                ranges.append({"gte": number, "lte": number})
        yield Condition(path, tuple(values), tuple(ranges), negated)


def _path(key: object) -> str:
    if not isinstance(key, str) or not key or '"' in key:
        raise InputError(
            f"filter key {key!r} cannot be used; expected {', '.join(_FIELDS)}, 'not' or the "
            'name of a metadata field (without ")'
        )
    if key in _FIELDS:
        return key
    # Metadata is flat, so a dot is part of the name; quoted, engines take the name as it is.
    name = key if _BARE_KEY.match(key) else f'"{_text(key, key)}"'
    return f"metadata.{name}"


def _bounds(key: str, wanted: Mapping[Any, Any]) -> Mapping[str, float]:
    unknown = [operator for operator in wanted if operator not in _OPERATORS]
    if unknown or not wanted:
        named = f"unknown operator {unknown[0]!r}" if unknown else "no operator"
        raise InputError(f"filter {key!r} has {named}; choose from {', '.join(_OPERATORS)}")
    return {operator: _number(key, bound) for operator, bound in wanted.items()}


def _number(key: str, value: object) -> float:
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise InputError(
            f"filter {key!r} has the value {value!r}; expected a string, a finite number, a "
            "boolean, a list of those, or a range of numbers such as {'gte': 2020}"
        )
    return number


def _text(key: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"filter {key!r} holds the lone surrogate {value[error.start]!r}, which no stored "
            "text contains; remove it"
        ) from None
    return value


def flags_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The booleans of some metadata as the strings the embedded engine can match."""
    return {key: str(value) for key, value in metadata.items() if isinstance(value, bool)}


def to_edge_filter(conditions: tuple[Condition, ...]) -> qdrant_edge.Filter | None:
    """The conditions as a filter of the embedded engine, or None when there are none."""
    import qdrant_edge as edge

    def convert(condition: Condition) -> edge.Filter:
        strings = [value for value in condition.values if isinstance(value, str)]
        flags = [str(value) for value in condition.values if isinstance(value, bool)]
        any_of: list[Any] = []
        if strings:
            any_of.append(edge.FieldCondition(condition.key, match=edge.MatchAny(strings)))
        if flags:
            key = condition.key.replace("metadata", FLAGS, 1)
            any_of.append(edge.FieldCondition(key, match=edge.MatchAny(flags)))
        any_of += [
            edge.FieldCondition(condition.key, range=edge.RangeFloat(**bounds))
            for bounds in condition.ranges
        ]
        return edge.Filter(should=any_of)

    if not conditions:
        return None
    return edge.Filter(
        must=[convert(c) for c in conditions if not c.negated],
        must_not=[convert(c) for c in conditions if c.negated],
    )


def to_client_filter(conditions: tuple[Condition, ...]) -> models.Filter | None:
    """The conditions as a filter of qdrant-client, or None when there are none."""
    from qdrant_client import models

    def convert(condition: Condition) -> models.Filter:
        strings = [value for value in condition.values if isinstance(value, str)]
        flags = [value for value in condition.values if isinstance(value, bool)]
        matches: list[Any] = [models.MatchAny(any=strings)] if strings else []
        matches += [models.MatchValue(value=flag) for flag in flags]
        any_of: list[Any] = [models.FieldCondition(key=condition.key, match=m) for m in matches]
        any_of += [
            models.FieldCondition(key=condition.key, range=models.Range(**bounds))
            for bounds in condition.ranges
        ]
        return models.Filter(should=any_of)

    if not conditions:
        return None
    return models.Filter(
        must=[convert(c) for c in conditions if not c.negated],
        must_not=[convert(c) for c in conditions if c.negated],
    )
