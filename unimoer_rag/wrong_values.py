"""What is wrong with a value of a settings file: what was expected, what stands there, the fix."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

__all__ = ["explained"]

# By the beginning of pydantic's kinds of errors.
_KINDS = {
    "int_": "a whole number",
    "float_": "a number",
    "finite_": "a finite number",
    "bool_": "true or false",
    "string_type": "a text",
    "list_": "a list",
    "tuple_": "a list",
    "dict_": "keys with values, as in `key: value`",
    "model_": "keys with values, as in `key: value`",
    "literal_": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "greater_than_equal": "a number of at least {ge:g}",
    "greater_than": "a number above {gt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "less_than": "a number below {lt:g}",
}
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass
_WORD = re.compile(r"[\w.-]{1,40}")


def explained(problem: ErrorDetails, kind: type[BaseModel]) -> str:
    """What pydantic found wrong, as a person who writes the file would say it.

    Args:
        problem: one of a validation's errors.
        kind: the model that was validated.
    """
    *section, key = problem["loc"] or ("",)
    if problem["type"] in _UNKNOWN:
        return _unknown(str(key), list(_keys(_at(kind, section))))
    if problem["type"] == "missing":
        return f"missing: add it, as in `{key}: ...`"
    said = next((s for start, s in _KINDS.items() if problem["type"].startswith(start)), None)
    if said is None:  # of a validator of ours, before which pydantic puts these words
        return problem["msg"].removeprefix("Value error, ")
    context = problem.get("ctx", {})
    given = context.get("tag", problem["input"])  # of a union: what tells its models apart
    default = _default(_at(kind, section), key)
    fix = "" if default is None else f": change it, or leave it out for {default}"
    return f"expected {said.format_map(context)}, not {_shown(given)}{fix}"


def _unknown(key: str, known: Sequence[str]) -> str:
    near = get_close_matches(key, known, n=1)
    fix = f"write {near[0]}, or leave it out" if near else "leave it out"
    return f"unknown key, expected {'one of ' if len(known) > 1 else ''}{', '.join(known)}: {fix}"


def _shown(value: object) -> str:
    """A value, unless it is a text that may be an address or a secret."""
    if isinstance(value, str):
        return repr(value) if _WORD.fullmatch(value) else "a text"
    if isinstance(value, dict | list):
        return "keys with values" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value is None else str(value)[:40]


def _default(place: Any, key: object) -> object:
    """What stands for a key that is left out, where that is simple; else None."""
    for model in filter(_is_model, _options(place)):
        default = model.model_fields[key].default if key in model.model_fields else None
        return default if isinstance(default, str | int | float) else None
    return None


def _keys(place: Any) -> Iterator[str]:
    for kind in _options(place):
        if _is_model(kind):
            yield from kind.model_fields
        elif is_dataclass(kind):
            yield from (one.name for one in fields(kind))


def _at(kind: Any, loc: Sequence[object]) -> Any:
    """The type of a place; None where it has none of its own."""
    for part in loc:
        kind = next(filter(None, (_inner(one, part) for one in _options(kind))), None)
    return kind


def _inner(kind: Any, part: object) -> Any:
    """The type below a key, an index, or the name that tells the types of a union apart."""
    if part == getattr(kind, "__name__", None):
        return kind
    if not _is_model(kind):
        arguments = [each for each in get_args(kind) if each is not ...]
        return arguments[-1] if arguments and get_origin(kind) is not Literal else None
    if part in kind.model_fields:
        return kind.model_fields[part].annotation
    tags = (get_args(field.annotation) for field in kind.model_fields.values())
    return kind if any(part in tag for tag in tags) else None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _options(kind: Any) -> Iterator[Any]:
    """What a union, or an annotated type, may be."""
    if get_origin(kind) in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _options(one)
    elif get_origin(kind) is Annotated:
        yield from _options(get_args(kind)[0])
    else:
        yield kind
