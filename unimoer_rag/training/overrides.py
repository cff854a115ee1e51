"""A recipe changed in places, and turned to other data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from unimoer_rag.errors import InputError
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.yaml_files import parse_yaml

__all__ = ["on_source", "overridden"]


def overridden(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """A recipe with other values at some keys, checked as a whole.

    Args:
        recipe: the recipe.
        settings: each `KEY=VALUE`: a dotted key (`optimizer.steps`; a list's entry by its number,
            `tasks.0.max_tokens`) and a value as YAML has it.

    Raises:
        InputError: a setting has no `=` or no YAML behind it, its key leads nowhere, or the recipe
            does not fit together with it; names the key.
    """
    changed = recipe.model_dump(mode="json")
    keys = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set {setting}: expected KEY=VALUE, such as optimizer.steps=100")
        try:
            value = parse_yaml(text, what=key)
        except InputError as error:
            raise InputError(f"--set {key}: {text[:60]!r} is no YAML value ({error})") from error
        _put(changed, key, value)
        keys.append(key)
    try:
        return Recipe.model_validate(changed)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or ", ".join(keys)
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(f"--set {where}: {said}") from error


def _put(tree: Any, key: str, value: Any) -> None:
    """Set one value of nested mappings and lists. A new last key is for the schema to judge."""
    *path, last = key.split(".")
    at = tree
    for part in path:
        at = _child(at, part, key)
    if isinstance(at, list):
        _child(at, last, key)
        at[int(last)] = value
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise InputError(f"--set {key}: {'.'.join(path)} is {at!r}, which has no {last!r} in it")


def _child(at: Any, part: str, key: str) -> Any:
    if isinstance(at, dict) and part in at:
        return at[part]
    if isinstance(at, list) and part.isdecimal() and int(part) < len(at):
        return at[int(part)]
    among = list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
    known = ", ".join(map(str, among)) or "nothing"
    raise InputError(f"--set {key}: there is no {part!r} here, expected one of {known}")


def on_source(recipe: Recipe, name: str) -> Recipe:
    """The recipe with every objective drawing from one data set alone."""
    changed = recipe.model_dump(mode="json")
    for objective in changed["objectives"].values():
        objective |= {"sources": [name], "proportions": {}}
    return Recipe.model_validate({**changed, "data": {}})
