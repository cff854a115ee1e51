"""Filters users write as one mapping, checked once and brought into one form.

```python
{"source": "a.md"}                          the passage field equals
{"year": {"gte": 2020, "lt": 2024}}         the number lies in a range
{"day": {"gte": "2024-02-01"}}              the text is a date or time by ISO 8601 in a range
{"tag": ["a", "b"]}                         equals any of (a list field: holds any of)
{"lang": "en", "not": {"tag": "draft"}}     both; what meets any condition under "not" is out
{"any": [{"lang": "en"}, {"tag": "a"}]}     meets at least one of these filters
{"all": [{"tag": "a"}, {"tag": "b"}]}       meets each of these filters
{"summary": {"words": "free delivery"}}     the text has all these words, in any order and case
{"author": {"empty": True}}                 has no value: is missing, null or an empty list
```

`source` and `title` are the passage's own fields; every other key is one of its metadata. `any` and
`all` are too where they do not hold a list of filters. A day begins at midnight, a time without an
offset is UTC; a text that is no date lies in no range.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.metadata import is_number, shown
from unimoer_rag.retrieval.store.dates import instant

__all__ = [
    "Condition",
    "Conditions",
    "Either",
    "Filters",
    "matches",
    "parse_filters",
]

Filters = Mapping[str, Any]

_FIELDS = ("source", "title")
_MAX_DEPTH = 32
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One key that must (or, when negated, must not) meet any of these.

    Attributes:
        key: the passage's field or the name of one of its metadata.
        values: strings and booleans to equal.
        ranges: bounds by operator for a number to lie in. A number to equal is the range
            from it to itself: 5 should find 5.0.
        negated: whether passages that meet it are left out.
        dates: bounds by operator for a moment to lie in, which a text names.
        words: to hold all of, in a text.
        empty: to have no value.
        own: whether the key is a field of the payload that users cannot filter by.
    """

    key: str
    values: tuple[str | bool, ...] = ()
    ranges: tuple[Mapping[str, float], ...] = ()
    negated: bool = False
    dates: Mapping[str, datetime] = field(default_factory=dict)
    words: str = ""
    empty: bool = False
    own: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the key is a field of the payload, and no name of metadata."""
        return self.own or self.key in _FIELDS


@dataclass(frozen=True, slots=True)
class Either:
    """Sets of conditions, of which one must (or, when negated, none must) be met whole."""

    parts: tuple[Conditions, ...]
    negated: bool = False


Conditions = tuple["Condition | Either", ...]


def parse_filters(filters: Filters | None) -> Conditions:
    """Check the user's filters and bring them into one form.

    Raises:
        InputError: a key, operator or value cannot be used.
    """
    return tuple(_conditions(filters or {}, negated=False, depth=0))


def _conditions(filters: Filters, *, negated: bool, depth: int) -> Iterator[Condition | Either]:
    if not isinstance(filters, Mapping):
        raise InputError(
            f"filters are {filters!r:.200}; expected a mapping such as {{'source': 'a.md'}}"
        )
    if depth > _MAX_DEPTH:
        raise InputError(f"filters are nested more than {_MAX_DEPTH} deep; write them flatter")
    for key, wanted in filters.items():
        if key == "not":
            if negated:
                raise InputError("filter 'not' stands inside another 'not'; write it once")
            yield from _conditions(wanted, negated=True, depth=depth + 1)
        elif key in ("any", "all") and _are_filters(wanted):
            parts = [tuple(_conditions(part, negated=False, depth=depth + 1)) for part in wanted]
            if not all(parts):
                raise InputError(f"filter {key!r} holds an empty filter; drop it")
            whole = tuple(chain.from_iterable(parts))
            if key == "any":
                yield Either(tuple(parts), negated)
            elif negated:
                yield Either((whole,), negated=True)
            else:
                yield from whole
        else:
            yield _condition_of(key, wanted, negated=negated)


def _are_filters(wanted: object) -> bool:
    """Whether it is a list of filters, and no metadata's values."""
    return (
        isinstance(wanted, list | tuple)
        and bool(wanted)
        and all(isinstance(item, Mapping) for item in wanted)
    )


def _condition_of(key: str, wanted: Any, *, negated: bool) -> Condition:
    _check_key(key)
    if isinstance(wanted, Mapping):
        return _operated(key, wanted, negated=negated)
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
    return Condition(key, tuple(values), tuple(ranges), negated)


def _operated(key: str, wanted: Mapping[Any, Any], *, negated: bool) -> Condition:
    if list(wanted) == ["words"]:
        words = wanted["words"]
        if not isinstance(words, str) or not _words(_text(key, words)):
            raise InputError(
                f"filter {key!r} has the words {shown(words)}; expected a text of some"
            )
        return Condition(key, negated=negated, words=words)
    if list(wanted) == ["empty"]:
        empty = wanted["empty"]
        if not isinstance(empty, bool):
            raise InputError(f"filter {key!r} is empty: {shown(empty)}; expected True or False")
        if key in _FIELDS:  # which are texts
            return Condition(key, ("",), negated=negated == empty)
        return Condition(key, negated=negated == empty, empty=True)
    _check_operators(key, wanted)
    if any(isinstance(bound, str) for bound in wanted.values()):
        dates = {operator: _date(key, bound) for operator, bound in wanted.items()}
        return Condition(key, negated=negated, dates=dates)
    bounds = {operator: _number(key, bound) for operator, bound in wanted.items()}
    return Condition(key, ranges=(bounds,), negated=negated)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise InputError(
            f"filter key {key!r} cannot be used; expected {', '.join(_FIELDS)}, 'not' or the "
            "name of a metadata field"
        )
    _text(key, key)


def _check_operators(key: str, wanted: Mapping[Any, Any]) -> None:
    unknown = [operator for operator in wanted if operator not in _OPERATORS]
    if unknown or not wanted:
        named = f"unknown operator {unknown[0]!r}" if unknown else "no operator"
        raise InputError(
            f"filter {key!r} has {named}; choose from {', '.join(_OPERATORS)}, or words or empty "
            "alone"
        )


def _date(key: str, value: Any) -> datetime:
    moment = instant(value) if isinstance(value, str) else None
    if moment is None:
        raise InputError(
            f"filter {key!r} has the value {shown(value)} as a bound; expected dates or times such "
            "as '2024-02-29' or '2024-02-29T10:00:00+01:00', or numbers"
        )
    return moment


def _number(key: str, value: Any) -> float:
    finite = False
    with contextlib.suppress(OverflowError):
        finite = is_number(value) and math.isfinite(value)
    if not finite:
        raise InputError(
            f"filter {key!r} has the value {shown(value)}; expected a string, a finite number, a "
            "boolean, a list of those, or a range of numbers such as {'gte': 2020}"
        )
    number: float = value
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


def matches(conditions: Conditions, payload: Mapping[str, Any]) -> bool:
    """Whether a payload meets all conditions: what the engines' filters amount to."""
    return all(_meets(condition, payload) != condition.negated for condition in conditions)


def _meets(condition: Condition | Either, payload: Mapping[str, Any]) -> bool:
    if isinstance(condition, Either):
        return any(matches(part, payload) for part in condition.parts)
    holder = payload if condition.is_own else payload["metadata"]
    found = holder.get(condition.key)
    if condition.empty:
        return found is None or found == []
    items = found if isinstance(found, list) else [found]
    return any(_is_met(condition, item) for item in items)


def _is_met(condition: Condition, item: Any) -> bool:
    if isinstance(item, str) and condition.words:
        return _words(condition.words) <= _words(item)
    if isinstance(item, str) and condition.dates:
        moment = instant(item)
        return moment is not None and all(
            _OPERATORS[operator](moment, bound) for operator, bound in condition.dates.items()
        )
    if any(type(item) is type(value) and item == value for value in condition.values):
        return True
    return is_number(item) and any(
        all(_OPERATORS[operator](item, bound) for operator, bound in bounds.items())
        for bounds in condition.ranges
    )


def _words(text: str) -> set[str]:
    """As the engines tell words apart where no text index says otherwise."""
    return {word.lower() for word in re.findall(r"[^\W_]+", text)}
