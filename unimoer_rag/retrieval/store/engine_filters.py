"""Filters in the words of the engines that keep an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from unimoer_rag.retrieval.metadata import FLAGS, NUMBERS, field_path, parts
from unimoer_rag.retrieval.store.filters import Condition, Conditions, Either

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import models

__all__ = ["to_client_filter", "to_edge_filter"]


class _Engine(Protocol):
    """An engine's objects for the few things that filters are made of."""

    def texts(self, key: str, texts: list[str]) -> Any: ...
    def flags(self, key: str, flags: list[bool]) -> list[Any]: ...
    def bounds(self, path: str, bounds: Mapping[str, float]) -> Any: ...
    def dates(self, path: str, bounds: Mapping[str, datetime]) -> Any: ...
    def empty(self, path: str) -> Any: ...
    def words(self, path: str, words: str) -> Any: ...
    def nested(self, path: str, condition: Any) -> Any: ...
    def all_of(self, conditions: list[Any], but: Sequence[Any] = ()) -> Any: ...
    def any_of(self, conditions: list[Any]) -> Any: ...


def _filter(conditions: Conditions, engine: _Engine) -> Any:
    if not conditions:
        return None
    return engine.all_of(
        [_condition(c, engine) for c in conditions if not c.negated],
        [_condition(c, engine) for c in conditions if c.negated],
    )


def _condition(condition: Condition | Either, engine: _Engine) -> Any:
    if isinstance(condition, Either):
        return engine.any_of([_filter(part, engine) for part in condition.parts])
    path = condition.key if condition.is_own else field_path(condition.key)
    if condition.empty:
        return engine.empty(path)
    if condition.words:
        return engine.words(path, condition.words)
    if condition.dates:
        return engine.dates(path, condition.dates)
    texts = [value for value in condition.values if isinstance(value, str)]
    flags = [value for value in condition.values if isinstance(value, bool)]
    any_of = [engine.texts(path, texts)] if texts else []
    if flags and not condition.is_own:
        any_of += engine.flags(condition.key, flags)
    for bounds in condition.ranges:
        any_of += _range(condition, path, bounds, engine)
    return engine.any_of(any_of) if any_of else engine.any_of([engine.texts("none", ["none"])])


def _range(
    condition: Condition, path: str, bounds: Mapping[str, float], engine: _Engine
) -> list[Any]:
    floats = engine.bounds(path, {name: float(bound) for name, bound in bounds.items()})
    if condition.is_own:
        return [floats]
    # A passage has its numbers in parts where engines do not keep or compare them exactly.
    exact = field_path(condition.key, NUMBERS)
    inside = [_parts_range(name, [*parts(bound).items()], engine) for name, bound in bounds.items()]
    return [
        engine.all_of([floats, engine.empty(exact)]),
        engine.nested(exact, engine.all_of(inside)),
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


def to_edge_filter(conditions: Conditions) -> qdrant_edge.Filter | None:
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

        def dates(self, path: str, bounds: Mapping[str, datetime]) -> Any:
            texts = {name: bound.isoformat() for name, bound in bounds.items()}
            return edge.FieldCondition(path, range=edge.RangeDateTime(**texts))

        def empty(self, path: str) -> Any:
            return edge.IsEmptyCondition(path)

        def words(self, path: str, words: str) -> Any:
            return edge.FieldCondition(path, match=edge.MatchText(words))

        def nested(self, path: str, condition: Any) -> Any:
            return edge.NestedCondition(path, condition)

        def all_of(self, conditions: list[Any], but: Sequence[Any] = ()) -> Any:
            return edge.Filter(must=conditions, must_not=[*but])

        def any_of(self, conditions: list[Any]) -> Any:
            return edge.Filter(should=conditions)

    made: qdrant_edge.Filter | None = _filter(conditions, Edge())
    return made


def to_client_filter(conditions: Conditions) -> models.Filter | None:
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

        def dates(self, path: str, bounds: Mapping[str, datetime]) -> Any:
            return models.FieldCondition(key=path, range=models.DatetimeRange(**bounds))

        def empty(self, path: str) -> Any:
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))

        def words(self, path: str, words: str) -> Any:
            return models.FieldCondition(key=path, match=models.MatchText(text=words))

        def nested(self, path: str, condition: Any) -> Any:
            return models.NestedCondition(nested=models.Nested(key=path, filter=condition))

        def all_of(self, conditions: list[Any], but: Sequence[Any] = ()) -> Any:
            return models.Filter(must=conditions, must_not=[*but])

        def any_of(self, conditions: list[Any]) -> Any:
            return models.Filter(should=conditions)

    made: models.Filter | None = _filter(conditions, Client())
    return made
