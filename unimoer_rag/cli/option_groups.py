"""Options in a line each, and groups of options that commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_origin, get_type_hints

import typer

__all__ = ["option", "with_options"]


def option(told: str, *names: str, default: Any = None, **settings: Any) -> Any:
    """What a parameter of a command, or a field of a group, is if it is an option.

    Args:
        told: its help.
        names: such as `--index` or `-k`; that of the parameter if there are none.
        default: where it is not given; ... for one that must be.
        settings: other arguments of `typer.Option`.
    """
    return field(default=default, metadata={"names": names, "settings": {**settings, "help": told}})


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer takes it: each `option`, and those of groups, as an option of its own.

    A group is a parameter whose type is a dataclass. Its fields are written with `option`, or have
    types that are annotated with one of Typer.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Size:
    ...     width: int = option("In cells.", default=80)
    >>> @with_options
    ... def draw(*, size: Size, colour: bool = option("Not in grey.", default=False)) -> None:
    ...     print(size, colour)
    >>> list(inspect.signature(draw).parameters)
    ['width', 'colour']
    >>> draw(width=3, colour=True)
    Size(width=3) True
    """
    parameters, groups = [], {}
    signature = inspect.signature(command, eval_str=True)
    for name, parameter in signature.parameters.items():
        kind = parameter.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            groups[name] = kind
            hints = get_type_hints(kind, include_extras=True)
            parameters += [_parameter(f.name, hints[f.name], f.default, f) for f in fields(kind)]
        elif isinstance(given := parameter.default, Field):
            parameters.append(_parameter(name, kind, given.default, given))
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: kind(**{one.name: given.pop(one.name) for one in fields(kind)})
            for name, kind in groups.items()
        }
        command(**given, **made)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _parameter(name: str, hint: Any, default: Any, told: Field[Any]) -> inspect.Parameter:
    if get_origin(hint) is not Annotated:
        # Typer gives every flag a --no- of its own: what is off needs none.
        off = (f"--{name.replace('_', '-')}",) if default is False else ()
        names = told.metadata["names"] or off
        hint = Annotated[hint, typer.Option(*names, **told.metadata["settings"])]
    default = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
