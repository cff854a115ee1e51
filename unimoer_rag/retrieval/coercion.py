"""Metadata as others write them, made into those that an index keeps (see `retrieval.metadata`).

| what comes | what is kept |
|---|---|
| text, a boolean, a whole number of 64 bits, a finite number, None | as it is |
| numbers of numpy, `Decimal`, `Fraction` | the number, whole where a `Decimal` is |
| a whole number beyond 64 bits | its digits, as text |
| date, time, `datetime` | text by ISO 8601, which sorts as the times do |
| `timedelta` | seconds |
| path, `UUID`, IP address | text |
| `Enum` | its value |
| NaN, NaT | None |
| list, tuple, set, array | list of what becomes of its items |
| mapping | mapping of what becomes of its values |
| all else: bytes, infinities, objects | nothing, and it is told |

Keys become text by the same rules. Lists and mappings come back, values in lists can be filtered
by, those in mappings not.
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

__all__ = ["Coercion", "coerce_metadata"]

_UNFIT: Final = object()

_WHOLE: Final = 2**63
# Below what a store takes, which counts the metadata themselves.
_MAX_DEPTH: Final = 30


class Coercion:
    """Coerces the metadata of many documents, and tells once what was left out of any.

    Attributes:
        dropped: keys that were left out of a document, each with the type of its value.

    >>> coercion = Coercion()
    >>> coercion({"day": date(2024, 2, 29), "pages": (1, 2), "raw": b"", "loc": {"line": 3}})
    {'day': '2024-02-29', 'pages': [1, 2], 'loc': {'line': 3}}
    >>> coercion.dropped
    {'raw': 'bytes'}
    """

    def __init__(self) -> None:
        self.dropped: dict[str, str] = {}

    def __call__(self, metadata: Mapping[Any, Any]) -> dict[str, Any]:
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
                "strings, finite numbers, booleans, dates, and lists or mappings of them",
                stacklevel=stacklevel + 1,
            )
            self.dropped = {}


def coerce_metadata(metadata: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The part of some metadata that an index can keep, in its own types.

    Args:
        metadata: whatever there is; not changed. Of keys that become the same text the last holds.

    Returns:
        What is kept, and for each key that is left out the name of its value's type; one inside
        another is named "other.one".
    """
    kept: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for key, value in metadata.items():
        inner: dict[str, str] = {}
        try:
            found = _mapping({key: value}, "", inner, 0)
        except RecursionError:
            found, inner = {}, {str(key): "nested too deep"}
        kept |= found
        dropped |= inner
    return kept, dropped


def _mapping(
    values: Mapping[Any, Any], within: str, dropped: dict[str, str], depth: int
) -> dict[str, Any]:
    kept = {}
    for key, value in values.items():
        name = _scalar(key)
        fit = (
            _UNFIT
            if name in (None, "", _UNFIT)
            else _value(value, f"{within}{name}.", dropped, depth)
        )
        if fit is _UNFIT:
            dropped[f"{within}{key}"] = type(value).__name__
        else:
            kept[str(name)] = fit
    return kept


def _value(value: object, within: str, dropped: dict[str, str], depth: int) -> Any:
    """What becomes of a value; `_UNFIT` where nothing does.

    Raises:
        RecursionError: it is nested too deep, or holds itself.
    """
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, np.ndarray):
        value = value.tolist()  # a scalar where it has no dimension
    if isinstance(value, Mapping):
        return _mapping(value, within, dropped, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        items = [_value(item, within, dropped, depth + 1) for item in ordered]
        return _UNFIT if any(item is _UNFIT for item in items) else items
    return _scalar(value)


def _scalar(value: object) -> Any:
    match value:
        case None:
            return None
        case Enum():
            return _scalar(value.value)
        case str():
            return str.__str__(value)  # the text itself, whatever a subclass shows
        case bool() | np.bool_():
            return bool(value)
        case np.datetime64() | np.timedelta64():  # whole numbers by their type
            return None if np.isnat(value) else _scalar(_python(value))
        case Integral():
            number = int(value)
            return number if -_WHOLE <= number < _WHOLE else str(number)
        case Decimal() | Real():
            return _real(value)
        case timedelta():
            return None if value != value else value.total_seconds()
        case date() | time():
            return None if value != value else value.isoformat()
        case PurePath() | UUID() | IPv4Address() | IPv6Address():
            return str(value)
    return _UNFIT


def _real(value: Any) -> Any:
    try:
        number = float(value)
    except (OverflowError, ValueError):  # a fraction beyond all floats, a signalling NaN
        return _UNFIT
    if math.isnan(number):
        return None
    if isinstance(value, Decimal) and abs(number) <= _WHOLE and value == int(value):
        return _scalar(int(value))  # databases give long keys as such
    return number if math.isfinite(number) else _UNFIT


def _python(value: np.datetime64 | np.timedelta64) -> object:
    """By the microsecond, which Python's own types can hold."""
    return value.astype(f"{np.dtype(value.dtype).kind}8[us]").item()
