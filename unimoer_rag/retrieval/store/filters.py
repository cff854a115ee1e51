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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.metadata import (
    FLAGS,
    NUMBERS,
    field_path,
    is_number,
    parts,
    shown,
)

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import models

__all__ = [
    "Condition",
    "Filters",
    "matches",
    "parse_filters",
    "to_client_filter",
    "to_edge_filter",
]

Filters = Mapping[str, Any]

_FIELDS = ("source", "title")
_OPERATORS = {
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
        _check_key(key)
        if isinstance(wanted, Mapping):
            yield Condition(key, ranges=(_bounds(key, wanted),), negated=negated)
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
        yield Condition(key, tuple(values), tuple(ranges), negated)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise InputError(
            f"filter key {key!r} cannot be used; expected {', '.join(_FIELDS)}, 'not' or the "
            "name of a metadata field"
        )
    _text(key, key)


def _bounds(key: str, wanted: Mapping[Any, Any]) -> Mapping[str, float]:
    unknown = [operator for operator in wanted if operator not in _OPERATORS]
    if unknown or not wanted:
        named = f"unknown operator {unknown[0]!r}" if unknown else "no operator"
        raise InputError(f"filter {key!r} has {named}; choose from {', '.join(_OPERATORS)}")
    return {operator: _number(key, bound) for operator, bound in wanted.items()}


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


def matches(conditions: Sequence[Condition], payload: Mapping[str, Any]) -> bool:
    """Whether a payload meets all conditions: what the engines' filters amount to."""
    return all(_meets(condition, payload) != condition.negated for condition in conditions)


def _meets(condition: Condition, payload: Mapping[str, Any]) -> bool:
    holder = payload if condition.key in _FIELDS else payload["metadata"]
    found = holder.get(condition.key)
    items = found if isinstance(found, list) else [found]
    return any(
        any(type(item) is type(value) and item == value for value in condition.values)
        or (
            is_number(item)
            and any(
                all(_OPERATORS[operator](item, bound) for operator, bound in bounds.items())
                for bounds in condition.ranges
            )
        )
        for item in items
    )


class _Engine(Protocol):
    """An engine's objects for the few things that filters are made of."""

    def texts(self, key: str, texts: list[str]) -> Any: ...
    def flags(self, key: str, flags: list[bool]) -> list[Any]: ...
    def bounds(self, path: str, bounds: Mapping[str, float]) -> Any: ...
    def empty(self, path: str) -> Any: ...
    def nested(self, path: str, condition: Any) -> Any: ...
    def all_of(self, conditions: list[Any], but: Sequence[Any] = ()) -> Any: ...
    def any_of(self, conditions: list[Any]) -> Any: ...


def _filter(conditions: tuple[Condition, ...], engine: _Engine) -> Any:
    if not conditions:
        return None
    return engine.all_of(
        [_condition(c, engine) for c in conditions if not c.negated],
        [_condition(c, engine) for c in conditions if c.negated],
    )


def _condition(condition: Condition, engine: _Engine) -> Any:
    texts = [value for value in condition.values if isinstance(value, str)]
    flags = [value for value in condition.values if isinstance(value, bool)]
    any_of = [engine.texts(_path(condition.key), texts)] if texts else []
    if flags and condition.key not in _FIELDS:
        any_of += engine.flags(condition.key, flags)
    for bounds in condition.ranges:
        any_of += _range(condition.key, bounds, engine)
    return engine.any_of(any_of) if any_of else engine.any_of([engine.texts("none", ["none"])])


def _path(key: str) -> str:
    return key if key in _FIELDS else field_path(key)


def _range(key: str, bounds: Mapping[str, float], engine: _Engine) -> list[Any]:
    floats = engine.bounds(_path(key), {name: float(bound) for name, bound in bounds.items()})
    if key in _FIELDS:
        return [floats]
    # A passage has its numbers in parts where engines do not keep or compare them exactly.
    path = field_path(key, NUMBERS)
    exact = [_parts_range(name, [*parts(bound).items()], engine) for name, bound in bounds.items()]
    return [
        engine.all_of([floats, engine.empty(path)]),
        engine.nested(path, engine.all_of(exact)),
    ]


def _parts_range(operator: str, bound: list[tuple[str, int]], engine: _Engine) -> Any:
    (name, first), *rest = bound
    if not rest:
        return engine.bounds(name, {operator: float(first)})
    same = engine.bounds(name, {"gte": float(first), "lte": float(first)})
    return engine.any_of(
        [
            engine.bounds(name, {operator[:2]: float(first)}),  # "gt" of "gte": strictly beyond
            engine.all_of([same, _parts_range(operator, rest, engine)]),
        ]
    )


def to_edge_filter(conditions: tuple[Condition, ...]) -> qdrant_edge.Filter | None:
    """The conditions as a filter of the embedded engine, or None when there are none."""
    import qdrant_edge as edge

    class Edge:
        def texts(self, key: str, texts: list[str]) -> Any:
            return edge.FieldCondition(key, match=edge.MatchAny(texts))

        def flags(self, key: str, flags: list[bool]) -> list[Any]:
            # qdrant-edge-py 0.9 reads MatchValue(True) as the number 1, which equals no boolean.
            return [self.texts(field_path(key, FLAGS), [str(flag) for flag in flags])]

        def bounds(self, path: str, bounds: Mapping[str, float]) -> Any:
            return edge.FieldCondition(path, range=edge.RangeFloat(**bounds))

        def empty(self, path: str) -> Any:
            return edge.IsEmptyCondition(path)

        def nested(self, path: str, condition: Any) -> Any:
            return edge.NestedCondition(path, condition)

        def all_of(self, conditions: list[Any], but: Sequence[Any] = ()) -> Any:
            return edge.Filter(must=conditions, must_not=[*but])

        def any_of(self, conditions: list[Any]) -> Any:
            return edge.Filter(should=conditions)

    made: qdrant_edge.Filter | None = _filter(conditions, Edge())
    return made


def to_client_filter(conditions: tuple[Condition, ...]) -> models.Filter | None:
    """The conditions as a filter of qdrant-client, or None when there are none."""
    from qdrant_client import models

    class Client:
        def texts(self, key: str, texts: list[str]) -> Any:
            return models.FieldCondition(key=key, match=models.MatchAny(any=texts))

        def flags(self, key: str, flags: list[bool]) -> list[Any]:
            equal = [models.MatchValue(value=flag) for flag in flags]
            return [models.FieldCondition(key=field_path(key), match=match) for match in equal]

        def bounds(self, path: str, bounds: Mapping[str, float]) -> Any:
            return models.FieldCondition(key=path, range=models.Range(**bounds))

        def empty(self, path: str) -> Any:
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))

        def nested(self, path: str, condition: Any) -> Any:
            return models.NestedCondition(nested=models.Nested(key=path, filter=condition))

        def all_of(self, conditions: list[Any], but: Sequence[Any] = ()) -> Any:
            return models.Filter(must=conditions, must_not=[*but])

        def any_of(self, conditions: list[Any]) -> Any:
            return models.Filter(should=conditions)

    made: models.Filter | None = _filter(conditions, Client())
    return made
