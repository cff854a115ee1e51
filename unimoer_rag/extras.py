"""Optional dependencies: imported where they are used, named by their extra where absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unimoer_rag.errors import MissingExtraError

__all__ = ["needs_extra"]


@contextmanager
def needs_extra(package: str, extra: str, purpose: str) -> Iterator[None]:
    """Import an optional dependency inside the block, or be told which extra has it.

    Args:
        package: the import name that is missing without the extra.
        extra: of this distribution.
        purpose: what needs it, for the message.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0] and error.name != package:
            raise  # something else is missing, which the extra would not bring
        distribution = package.replace(".", "-").replace("_", "-")
        raise MissingExtraError(distribution, extra, purpose) from error
