"""Metadata as others write them, made into those that an index keeps and filters by.

| what comes | what is kept |
|---|---|
| text, a boolean, a whole number of 64 bits, a finite number | as it is |
| numbers of numpy, `Decimal`, `Fraction` | the number, whole where a `Decimal` is |
| a whole number beyond 64 bits | its digits, as text |
| date, time, `datetime` | text by ISO 8601, which sorts as the times do |
| `timedelta` | seconds |
| path, `UUID`, IP address | text |
| `Enum` | its value |
| list, tuple, set, one-dimensional array of such | list of texts, without what is missing in it |
| None, NaN, NaT | nothing: the key is missing, as the value is |
| all else: mappings, nested lists, bytes, infinities, objects | nothing, and it is told |
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import numpy as np

from unimoer_rag.retrieval.types import Scalar

__all__ = ["Coercion", "coerce_metadata"]

_MISSING: Final = object()
_UNFIT: Final = object()

_WHOLE: Final = 2**63


class Coercion:
    """Coerces the metadata of many documents, and tells once what was left out of any.

    Attributes:
        dropped: keys that were left out of a document, each with the type of its value.

    >>> coercion = Coercion()
    >>> coercion({"day": date(2024, 2, 29), "pages": [1, 2], "author": None, "loc": {"line": 3}})
    {'day': '2024-02-29', 'pages': ['1', '2']}
    >>> coercion.dropped
    {'loc': 'dict'}
    """

    def __init__(self) -> None:
        self.dropped: dict[str, str] = {}

    def __call__(self, metadata: Mapping[Any, Any]) -> dict[str, Scalar | list[str]]:
        """The metadata of one document that an index keeps."""
        kept, dropped = coerce_metadata(metadata)
        self.dropped |= dropped
        return kept

    def tell(self, stacklevel: int = 2) -> None:
        """Warn of what was left out, if anything was.

        Args:
            stacklevel: the caller that the warning is about, as for `warnings.warn`.
        """
        if self.dropped:
            names = ", ".join(f"{key!r} ({kind})" for key, kind in sorted(self.dropped.items()))
            warnings.warn(
                f"an index keeps no metadata of these kinds, so they are left out: {names}; give "
                "strings, numbers, booleans, dates or lists of them to have them back and to "
                "filter by them",
                stacklevel=stacklevel + 1,
            )
            self.dropped = {}


def coerce_metadata(
    metadata: Mapping[Any, Any],
) -> tuple[dict[str, Scalar | list[str]], dict[str, str]]:
    """The part of some metadata that an index can keep, in its own types.

    Args:
        metadata: whatever there is; not changed. Of keys that become the same text the last holds.

    Returns:
        What is kept, and for each key that is left out the name of its value's type. Missing
        values (None, NaN) are in neither.
    """
    kept: dict[str, Scalar | list[str]] = {}
    dropped: dict[str, str] = {}
    for key, value in metadata.items():
        name, fit = _scalar(key), _value(value)
        if name is _MISSING or name is _UNFIT or fit is _UNFIT:
            dropped[str(key)] = type(value).__name__
        elif fit is not _MISSING:
            kept[str(name)] = fit
    return kept, dropped


def _value(value: object) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()  # a scalar where it has no dimension
    if isinstance(value, list | tuple | set | frozenset):
        items = [_scalar(item) for item in value]
        if any(item is _UNFIT for item in items):
            return _UNFIT
        texts = [str(item) for item in items if item is not _MISSING]
        return sorted(texts) if isinstance(value, set | frozenset) else texts
    return _scalar(value)


def _scalar(value: object) -> Any:
    """A value as one that can be filtered by, `_MISSING` or `_UNFIT`."""
    match value:
        case Enum():
            return _scalar(value.value)
        case str():
            return str.__str__(value)  # the text itself, whatever a subclass shows
        case bool() | np.bool_():
            return bool(value)
        case np.datetime64() | np.timedelta64():  # whole numbers by their type
            return _MISSING if np.isnat(value) else _scalar(_python(value))
        case Integral():
            number = int(value)
            return number if -_WHOLE <= number < _WHOLE else str(number)
        case Decimal() | Real():
            return _real(value)
        case timedelta():
            return _MISSING if value != value else value.total_seconds()
        case date() | time():
            return _MISSING if value != value else value.isoformat()
        case PurePath() | UUID() | IPv4Address() | IPv6Address():
            return str(value)
        case None:
            return _MISSING
    return _UNFIT


def _real(value: Any) -> Any:
    try:
        number = float(value)
    except (OverflowError, ValueError):  # a fraction beyond all floats, a signalling NaN
        return _UNFIT
    if math.isnan(number):
        return _MISSING
    if isinstance(value, Decimal) and abs(number) <= _WHOLE and value == int(value):
        return _scalar(int(value))  # databases give long keys as such
    return number if math.isfinite(number) else _UNFIT


def _python(value: np.datetime64 | np.timedelta64) -> object:
    """By the microsecond, which Python's own types can hold."""
    return value.astype(f"{np.dtype(value.dtype).kind}8[us]").item()
