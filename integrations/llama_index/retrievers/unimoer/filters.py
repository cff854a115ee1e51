"""LlamaIndex's metadata filters as the mapping that `UnifiedRetriever` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from unimoer_rag.errors import InputError

__all__ = ["to_mapping"]

_Mapping = dict[str, Any]

_SINGLE: dict[FilterOperator, Callable[[str, Any], _Mapping]] = {
    FilterOperator.EQ: lambda key, value: {key: value},
    FilterOperator.NE: lambda key, value: {"not": {key: value}},
    FilterOperator.CONTAINS: lambda key, value: {key: value},
    FilterOperator.GT: lambda key, value: {key: {"gt": value}},
    FilterOperator.GTE: lambda key, value: {key: {"gte": value}},
    FilterOperator.LT: lambda key, value: {key: {"lt": value}},
    FilterOperator.LTE: lambda key, value: {key: {"lte": value}},
    FilterOperator.TEXT_MATCH: lambda key, value: {key: {"words": value}},
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda key, value: {key: {"words": value}},
}
_SEVERAL: dict[FilterOperator, Callable[[str, list[Any]], _Mapping]] = {
    FilterOperator.IN: lambda key, values: {key: values},
    FilterOperator.ANY: lambda key, values: {key: values},
    FilterOperator.NIN: lambda key, values: {"not": {key: values}},
    FilterOperator.ALL: lambda key, values: {"all": [{key: value} for value in values]},
}


def to_mapping(filters: MetadataFilters) -> dict[str, Any]:
    """The same filters in the form that `UnifiedRetriever.search` takes.

    `==` on a list field is met where the list holds the value. A passage that lacks the key meets
    `!=`, `nin` and `is_empty`. `text_match` is met where a text has all the words, in any order and
    case. "not" leaves out what meets any of its filters.

    Raises:
        InputError: a filter has a value that its operator does not take, or a group is empty.

    >>> to_mapping(MetadataFilters(filters=[MetadataFilter(key="year", value=2020, operator=">")]))
    {'year': {'gt': 2020}}
    """
    return _joined(filters) if filters.filters else {}


def _joined(filters: MetadataFilters | MetadataFilter) -> _Mapping:
    if isinstance(filters, MetadataFilter):
        return _one(filters)
    if not filters.filters:
        raise InputError("a group of filters inside another is empty: give filters or drop it")
    parts = [_joined(part) for part in filters.filters]
    if filters.condition == FilterCondition.NOT:
        return {"not": {"any": parts}}
    if len(parts) == 1:
        return parts[0]
    return {"any" if filters.condition == FilterCondition.OR else "all": parts}


def _one(filter_: MetadataFilter) -> _Mapping:
    key, operator, value = filter_.key, filter_.operator, filter_.value
    if key == "not":
        raise InputError("a filter has the key 'not', which has a meaning of its own: rename it")
    if operator == FilterOperator.IS_EMPTY:
        return {key: {"empty": True}}
    if operator in _SEVERAL and isinstance(value, list):
        if not value:
            raise InputError(f"the filter {_show(filter_)} has no values: give some or drop it")
        return _SEVERAL[operator](key, value)
    if operator in _SINGLE and not isinstance(value, list):
        return _SINGLE[operator](key, value)
    expected = "a list of values" if operator in _SEVERAL else "a single value"
    raise InputError(f"the filter {_show(filter_)} cannot be used: expected {expected}")


def _show(filter_: MetadataFilter) -> str:
    return f"{filter_.key!r} {filter_.operator.value} {filter_.value!r}"
