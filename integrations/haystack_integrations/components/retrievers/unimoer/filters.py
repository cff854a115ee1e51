"""Haystack's filters as the mapping that `UnifiedRetriever` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from haystack.errors import FilterError

from unimoer_rag.errors import InputError

__all__ = ["RefusedFilterError", "to_mapping"]

_Mapping = dict[str, Any]


class RefusedFilterError(InputError, FilterError):
    """A filter that is malformed, or that an index cannot search by."""


def to_mapping(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same filters in the form that `UnifiedRetriever.search` takes; {} where there are none.

    `meta.source` and `meta.title` are the passage's own, every other `meta.key` is one of its
    metadata. What lacks a key is met as one that has None: by `!=` and `not in`, and by no
    comparison. A list field meets `==` and `in` where it holds a value.

    Raises:
        RefusedFilterError: a filter is malformed, has an operator or field that there is not, or a
            value that an index cannot compare.

    >>> to_mapping({"field": "meta.year", "operator": ">=", "value": 2020})
    {'year': {'gte': 2020}}
    """
    if not filters:
        return {}
    from unimoer_rag.retrieval import parse_filters

    mapping = _joined(filters)
    try:
        parse_filters(mapping)
    except InputError as error:
        raise RefusedFilterError(str(error)) from error
    return mapping


def _joined(filters: object) -> _Mapping:
    if not isinstance(filters, Mapping):
        raise RefusedFilterError(f"a filter is {filters!r:.200}: expected a dictionary")
    if "field" in filters:
        return _compared(filters)
    operator = _given(filters, "operator")
    conditions = _given(filters, "conditions")
    if operator not in _LOGICAL:
        raise RefusedFilterError(
            f"a filter has the logical operator {operator!r}: expected one of {', '.join(_LOGICAL)}"
        )
    if not isinstance(conditions, list) or not conditions:
        raise RefusedFilterError(
            f"the conditions of {operator} are {conditions!r:.200}: expected a list of filters"
        )
    return _LOGICAL[operator]([_joined(condition) for condition in conditions])


def _compared(filter_: Mapping[str, Any]) -> _Mapping:
    key = _key(_given(filter_, "field"))
    operator, value = _given(filter_, "operator"), _given(filter_, "value")
    if operator not in _COMPARED:
        raise RefusedFilterError(
            f"the filter on {key!r} has the operator {operator!r}: expected one of "
            f"{', '.join(_COMPARED)}"
        )
    several = operator in _SEVERAL
    if several != isinstance(value, list) or isinstance(value, Mapping):
        expected = "a list of values" if several else "a single value"
        raise RefusedFilterError(
            f"the filter {key!r} {operator} {value!r:.200} cannot be used: expected {expected}"
        )
    return _COMPARED[operator](key, value)


def _given(filter_: Mapping[str, Any], name: str) -> Any:
    if name not in filter_:
        raise RefusedFilterError(
            f"the filter {dict(filter_)!r:.200} has no {name!r}: expected field, operator and "
            "value, or operator and conditions"
        )
    return filter_[name]


def _key(field: object) -> str:
    """The name that an index knows a field of Haystack's documents by."""
    key = field.removeprefix("meta.") if isinstance(field, str) else ""
    of_document = field in ("id", "content", "blob", "score", "embedding", "sparse_embedding")
    if not key or key in ("not", "meta") or "." in key or of_document:
        raise RefusedFilterError(
            f"a filter has the field {field!r}, which an index cannot be searched by: expected "
            "'meta.source', 'meta.title' or 'meta.' and the name of one of the metadata"
        )
    return key


def _equal(key: str, value: Any) -> _Mapping:
    return {key: {"empty": True}} if value is None else {key: value}


def _within(key: str, values: list[Any]) -> _Mapping:
    there = [value for value in values if value is not None]
    parts = [_equal(key, None)] * (None in values) + ([{key: there}] if there else [])
    return {"any": parts} if parts else _nothing(key)


def _range(name: str) -> Callable[[str, Any], _Mapping]:
    return lambda key, bound: _nothing(key) if bound is None else {key: {name: bound}}


def _nothing(key: str) -> _Mapping:
    """What no passage meets."""
    return {"all": [{key: {"empty": True}}, {key: {"empty": False}}]}


def _without(mapping: _Mapping) -> _Mapping:
    return {"not": mapping}


_SEVERAL = ("in", "not in")
_COMPARED: dict[str, Callable[[str, Any], _Mapping]] = {
    "==": _equal,
    "!=": lambda key, value: _without(_equal(key, value)),
    ">": _range("gt"),
    ">=": _range("gte"),
    "<": _range("lt"),
    "<=": _range("lte"),
    "in": _within,
    "not in": lambda key, values: _without(_within(key, values)),
}
_LOGICAL: dict[str, Callable[[list[_Mapping]], _Mapping]] = {
    "AND": lambda parts: {"all": parts},
    "OR": lambda parts: {"any": parts},
    "NOT": lambda parts: _without({"all": parts}),
}
