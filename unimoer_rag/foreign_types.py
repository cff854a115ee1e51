"""Objects of libraries that are not imported here, told by their classes."""

from __future__ import annotations

__all__ = ["is_a"]


def is_a(value: object, package: str, name: str) -> bool:
    """Whether an object is of a class of that name in a package, or of one derived from it.

    >>> from pathlib import Path
    >>> is_a(Path(), "pathlib", "PurePath")
    True
    """
    return any(
        kind.__name__ == name and f"{kind.__module__}.".startswith(f"{package}.")
        for kind in type(value).__mro__
    )
