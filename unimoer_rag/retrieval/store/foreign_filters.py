"""Filters of this library for payloads of another."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from qdrant_client import models

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.store.engine_filters import to_client_filter
from unimoer_rag.retrieval.store.filters import Filters, parse_filters
from unimoer_rag.retrieval.store.payload_mapping import PayloadMapping

__all__ = ["to_foreign_filter"]

_METADATA, _QUOTED = "metadata.", "quoted."
_OWN = ("source", "title")


def to_foreign_filter(filters: Filters | None, mapping: PayloadMapping) -> models.Filter | None:
    """Filters as conditions on payloads of another library; None for no condition.

    Args:
        filters: on source, title and metadata, as of an index of ours.
        mapping: says where the payloads have those.

    Raises:
        InputError: they cannot be used, or name metadata that such payloads cannot be asked for.
    """
    made = to_client_filter(parse_filters(filters))
    return None if made is None else _translated(made, mapping)


def _translated(part: Any, mapping: PayloadMapping) -> Any:
    """A part of a filter, with the other library's names in place of ours."""
    if isinstance(part, list):
        return [_translated(each, mapping) for each in part]
    # What an index of ours holds a second time, other payloads do not: nothing meets it.
    if not isinstance(part, BaseModel) or isinstance(part, models.NestedCondition):
        return part
    if isinstance(part, models.FieldCondition) and part.key in _OWN:
        return _first_that_is(part, mapping.places(part.key))
    changed = {
        name: _path(value, mapping) if name == "key" else _translated(value, mapping)
        for name, value in part
    }
    return part.model_copy(update=changed)


def _path(key: str, mapping: PayloadMapping) -> str:
    if key.startswith(_QUOTED):
        raise InputError(
            "a filter names metadata with quotation marks or backslashes, which collections of "
            "other libraries cannot be asked for: leave it out"
        )
    if not key.startswith(_METADATA):
        return key
    name = key.removeprefix(_METADATA)
    return f"{mapping.metadata}.{name}" if mapping.metadata else name


def _first_that_is(condition: models.FieldCondition, places: tuple[str, ...]) -> models.Filter:
    """The condition on the first place that holds something."""
    if not places:
        raise InputError(
            f"filter {condition.key!r}: the payload mapping says of no place that it holds one"
        )
    empty = [models.IsEmptyCondition(is_empty=models.PayloadField(key=place)) for place in places]
    return models.Filter(
        should=[
            models.Filter(must=[condition.model_copy(update={"key": place}), *empty[:at]])
            for at, place in enumerate(places)
        ]
    )
