"""LlamaIndex's metadata filters as the mapping that `UnifiedRetriever` takes.

The mapping joins conditions by "and", one for each key, and leaves out what meets any condition
under "not". Whatever logic can be brought into that form is; the rest is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.store.filters import parse_filters

__all__ = ["to_mapping"]

_BOUNDS = {
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
}
_ONE = (FilterOperator.EQ, FilterOperator.NE, FilterOperator.CONTAINS)
_SEVERAL = (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY)
_NEGATIVE = (FilterOperator.NE, FilterOperator.NIN)
_LOWER = ("gt", "gte")

_SUPPORTED = (
    "supported are ==, !=, >, >=, <, <=, in, nin, contains and any, joined by 'and' or 'not', or "
    "by 'or' where each is ==, in, contains or any on one and the same key; on one key there may "
    "be several bounds, several != and nin, or one other condition"
)


@dataclass(frozen=True, slots=True)
class _Literal:
    """One key that meets (or, when negated, does not meet) one condition.

    Attributes:
        key: of the metadata.
        negated: whether passages that meet it are left out.
        values: what to equal one of.
        bounds: of the number, by our operator; in place of values.
    """

    key: str
    negated: bool
    values: tuple[Any, ...] = ()
    bounds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def condition(self) -> Any:
        """Its condition in our words."""
        return self.bounds or list(self.values)


def to_mapping(filters: MetadataFilters) -> dict[str, Any]:
    """The same filters in the form that `UnifiedRetriever.search` takes.

    `==` on a list field is met where the list holds the value. A passage that lacks the key meets
    `!=` and `nin`.

    Raises:
        InputError: a filter, or the way filters are joined, cannot be expressed.

    >>> to_mapping(MetadataFilters(filters=[MetadataFilter(key="year", value=2020, operator=">")]))
    {'year': {'gt': 2020}}
    """
    if not filters.filters:
        return {}
    wanted: dict[str, Any] = {}
    unwanted: dict[str, Any] = {}
    for literal in _literals(filters, negated=False):
        key, new = literal.key, literal.condition
        if literal.negated:
            unwanted[key] = _neither(key, unwanted.get(key), new)
        else:
            wanted[key] = _both(key, wanted.get(key), new)
    return {**wanted, "not": unwanted} if unwanted else wanted


def _literals(filters: MetadataFilters | MetadataFilter, *, negated: bool) -> list[_Literal]:
    """Conditions that are all to be met, by De Morgan's laws."""
    if isinstance(filters, MetadataFilter):
        return [_literal(filters, negated=negated)]
    if not filters.filters:
        raise InputError("a group of filters inside another is empty: give filters or drop it")
    # "not" leaves out what meets any of its filters.
    within = negated != (filters.condition == FilterCondition.NOT)
    parts = [_literals(part, negated=within) for part in filters.filters]
    if (filters.condition == FilterCondition.OR) == negated or len(parts) == 1:
        return list(chain.from_iterable(parts))
    return [_either(parts)]


def _literal(filter_: MetadataFilter, *, negated: bool) -> _Literal:
    key, operator, value = filter_.key, filter_.operator, filter_.value
    negated = negated != (operator in _NEGATIVE)
    if operator in _BOUNDS:
        literal = _Literal(key, negated, bounds={_BOUNDS[operator]: value})
    elif operator in _SEVERAL and isinstance(value, list):
        literal = _Literal(key, negated, values=tuple(value))
    elif operator in _ONE and not isinstance(value, list):
        literal = _Literal(key, negated, values=(value,))
    else:
        raise InputError(
            f"the filter {_show(filter_)} cannot be expressed: {_SUPPORTED}; in, nin and any take "
            "a list, the others a single value"
        )
    if key == "not":
        raise InputError("a filter has the key 'not', which has a meaning of its own: rename it")
    parse_filters({key: literal.condition})
    return literal


def _either(parts: Sequence[Sequence[_Literal]]) -> _Literal:
    """One condition that is met where any part is."""
    literals = list(chain.from_iterable(parts))
    keys = {literal.key for literal in literals}
    single = len(literals) == len(parts) and len(keys) == 1
    if not single or any(literal.negated or literal.bounds for literal in literals):
        raise InputError(
            f"filters on {_names(keys)} are joined so that any of them suffices: {_SUPPORTED}"
        )
    values = chain.from_iterable(literal.values for literal in literals)
    return _Literal(keys.pop(), negated=False, values=tuple(values))


def _both(key: str, old: Any, new: Any) -> Any:
    """What meets both conditions on a key."""
    if old is None or old == new:
        return new
    if isinstance(old, list) or isinstance(new, list):
        raise _unmergeable(key)
    merged = dict(old)
    for operator, bound in new.items():
        tighter = max if operator in _LOWER else min
        merged[operator] = tighter(merged.get(operator, bound), bound)
    return merged


def _neither(key: str, old: Any, new: Any) -> Any:
    """What is met where either of two conditions on a key is."""
    if old is None or old == new:
        return new
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    raise _unmergeable(key)


def _unmergeable(key: str) -> InputError:
    return InputError(f"the filters on {key!r} cannot be joined into one: {_SUPPORTED}")


def _names(keys: Iterable[str]) -> str:
    return ", ".join(repr(key) for key in sorted(keys))


def _show(filter_: MetadataFilter) -> str:
    return f"{filter_.key!r} {filter_.operator.value} {filter_.value!r}"
