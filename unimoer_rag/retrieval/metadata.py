"""What metadata may hold, and how it is stored so that every store filters it alike.

| value | how a filter finds it |
|---|---|
| text | equal, character by character |
| true, false | equal; never as 1 or 0 |
| whole numbers of 64 bits, finite floats | exactly: 5 finds 5.0, 2**53 not 2**53 + 1 |
| a list of those | by any of its items |
| null, mappings, lists in lists | not at all; they are stored |

Everything else is refused before it is stored. Engines compare numbers as floats, in which whole
numbers beyond 2**53 run together, read floats of many digits back with an error in the last, and
take no quotation marks or backslashes in the names of fields: such values are stored a second time,
in a form that comes back and is compared exactly.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.text import clean_text

__all__ = [
    "EXACT",
    "FLAGS",
    "NUMBERS",
    "check_metadata",
    "clean",
    "field_path",
    "is_number",
    "parts",
    "plain",
    "shown",
    "stored",
    "stored_twice",
]

# Payload fields beside `metadata`, see `stored_twice`.
FLAGS, NUMBERS, QUOTED, EXACT = "flags", "numbers", "quoted", "exact"

# What engines keep as it is: whole numbers that are floats, and floats of few digits.
_WHOLE, _DIGITS, _EXPONENT = 2**53, 15, 22

_MAX_DEPTH = 32


def check_metadata(metadata: object, source: str) -> None:
    """Refuse what cannot be stored.

    Raises:
        InputError: names the document's source, the key, the value and what is expected.
    """
    if not isinstance(metadata, Mapping):
        raise InputError(
            f"the metadata of {source!r} is {str(metadata)[:80]!r}; expected a mapping of names to "
            "strings, numbers, booleans and lists of them"
        )
    for key, value in metadata.items():
        if problem := _key_problem(key) or _problem(value, _MAX_DEPTH):
            raise InputError(
                f"the metadata of {source!r} cannot be stored: {str(key)[:80]!r} {problem}"
            )


def _key_problem(key: object) -> str:
    if not isinstance(key, str):
        return f"is a {type(key).__name__}; names of fields are strings"
    if not key:
        return "is an empty name; give the field one"
    return _text_problem(key)


def _problem(value: object, depth: int) -> str:
    """What is the matter with a value; empty where nothing is."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return _text_problem(value)
    if isinstance(value, int):
        if -(2**63) <= value < 2**63:
            return ""
        return f"is {shown(value)}, beyond 64 bits; store it as a string"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {value!r}; expected a finite number"
    if depth and isinstance(value, list | tuple):
        return next(filter(None, (_problem(item, depth - 1) for item in value)), "")
    if depth and isinstance(value, dict):
        parts = (_key_problem(k) or _problem(v, depth - 1) for k, v in value.items())
        return next(filter(None, parts), "")
    if isinstance(value, list | tuple | dict):
        return f"is nested more than {_MAX_DEPTH} deep; store it as a string"
    return f"is a {type(value).__name__}; use strings, finite numbers, booleans and lists of them"


def shown(value: object) -> str:
    """A value for a message, at most 200 characters of it."""
    try:
        return repr(value)[:200]
    except ValueError:  # Python does not write numbers of thousands of digits
        return f"a {type(value).__name__} of thousands of digits"


def _text_problem(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"holds the lone surrogate {text[error.start]!r}, which is not text"
    return ""


def clean(value: Any) -> Any:
    """Metadata, a filter or a part of one with `clean_text` done to every string in it.

    What is stored and what is looked for go through it, so that the two meet.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if isinstance(value, set | frozenset):  # of a filter; nothing stores one
        return {clean(item) for item in value}
    return value


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as JSON gives it back (tuples become lists): every store returns the same."""
    copy: dict[str, Any] = json.loads(json.dumps(dict(metadata), allow_nan=False))
    return copy


def stored_twice(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The payload fields that hold again what engines would not keep or compare exactly.

    `flags` has booleans as strings, `numbers` has all numbers of a key in parts (see `parts`) where
    one of them needs it, `quoted` has these fields for keys with quotation marks and backslashes,
    and `exact` has the metadata as text where a float needs it.
    """
    payload = _derived({key: value for key, value in metadata.items() if not _is_quoted(key)})
    quoted = {_escaped(key): value for key, value in metadata.items() if _is_quoted(key)}
    if quoted:
        payload[QUOTED] = {"metadata": quoted, **_derived(quoted)}
    if _has_long_float(metadata):
        payload[EXACT] = json.dumps(metadata)
    return payload


def stored(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a payload, as they were stored."""
    exact = payload.get(EXACT)
    found: dict[str, Any] = payload["metadata"] if exact is None else json.loads(exact)
    return found


def _derived(metadata: Mapping[str, Any]) -> dict[str, Any]:
    flags = {
        key: [str(item) for item in _items(value) if isinstance(item, bool)]
        for key, value in metadata.items()
    }
    numbers = {
        key: [parts(item) for item in _items(value) if is_number(item)]
        for key, value in metadata.items()
        if any(is_number(item) and not _is_kept(item) for item in _items(value))
    }
    derived: dict[str, Any] = {FLAGS: {key: found for key, found in flags.items() if found}}
    return derived | ({NUMBERS: numbers} if numbers else {})


def _has_long_float(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_long_float, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_long_float, value))
    return isinstance(value, float) and not _is_kept(value)


def _is_kept(number: float) -> bool:
    """Whether engines give a number back, and compare it, as it is."""
    if isinstance(number, int):
        return abs(number) < _WHOLE
    _, digits, exponent = Decimal(repr(number)).as_tuple()
    return (
        len(digits) <= _DIGITS
        and abs(int(exponent)) <= _EXPONENT
        and abs(number) < 10 ** (_DIGITS - 1)
    )


def _items(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list | tuple) else [value]


def is_number(value: object) -> bool:
    """Whether a filter compares it as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def parts(number: float) -> dict[str, int]:
    """A number as whole numbers that every engine compares exactly, in this order.

    `high` and `middle` are the bits of the nearest float, ordered as floats are; `low` is what is
    left of a whole number.
    """
    nearest = float(number)
    [bits] = struct.unpack(">q", struct.pack(">d", nearest))
    ordered = bits if bits >= 0 else -(bits & (2**63 - 1))
    low = number - int(nearest) if isinstance(number, int) else 0
    return {"high": ordered >> 32, "middle": ordered & (2**32 - 1), "low": low}


def field_path(key: str, field: str = "metadata") -> str:
    """The path of a key's values in one of a payload's fields, as engines write it."""
    if _is_quoted(key):
        return f'{QUOTED}.{field}."{_escaped(key)}"'
    # Metadata is flat, so a dot is part of the name; quoted, engines take the name as it is.
    bare = key.isascii() and key.replace("_", "a").isalnum()
    return f"{field}.{key}" if bare else f'{field}."{key}"'


def _is_quoted(key: str) -> bool:
    return '"' in key or "\\" in key


def _escaped(key: str) -> str:
    return key.replace("%", "%25").replace('"', "%22").replace("\\", "%5C")
