"""JSON of others, read with its depth and size bounded: one line of error, never a traceback."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.files import read_bounded

__all__ = ["parse_json", "read_json"]

_DEPTH = 100
_BYTES = 64 * 1024**2
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def parse_json(
    text: str | bytes, *, what: str, error: type[UnimoerError] = InputError, depth: int = _DEPTH
) -> Any:
    """The value of a JSON text, as the standard has it.

    Beyond what `json.loads` refuses, these are errors: lists and objects nested deeper than
    `depth`, a key twice in one object (one of its values would be lost), NaN, Infinity and numbers
    too large to be one. A byte-order mark is left out. Strings may hold half a surrogate pair; what
    keeps them passes them through `clean_text`.

    Args:
        text: bytes are UTF-8.
        what: names the text in messages, such as "line 3 of a.jsonl".
        error: what is raised.
        depth: the deepest nesting.

    Raises:
        UnimoerError: of the type `error`: the text is no such JSON.

    >>> parse_json('{"a": [1, 2]}', what="the filter")
    {'a': [1, 2]}
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        text = text.removeprefix("\ufeff")
        _check_depth(text, depth)
        return _decoder.decode(text)
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise error(f"{what} is no JSON: {problem.msg} ({place})") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{what} is not UTF-8: {problem.reason} at byte {problem.start}") from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{what} is no JSON that is read here: {problem}") from problem


def read_json(
    path: Path, *, error: type[UnimoerError] = InputError, max_bytes: int = _BYTES
) -> Any:
    """The value of a JSON file; see `parse_json`.

    Raises:
        UnimoerError: of the type `error`: the file cannot be read, is larger than `max_bytes`, or
            is no such JSON; names it.
    """
    return parse_json(read_bounded(path, max_bytes, error=error), what=str(path), error=error)


def _check_depth(text: str, most: int) -> None:
    """Refuse what is nested too deep before anything is made of it."""
    if text.count("[") + text.count("{") <= most:
        return
    depth = 0
    for found in _BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > most:
                raise ValueError(f"nested deeper than {most} lists and objects")
        elif found[0] in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.80} stands twice in one object")
    return found


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON: leave it out, or write null")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits:.40} is too large")
    return value


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
