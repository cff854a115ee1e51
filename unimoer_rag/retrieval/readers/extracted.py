"""What readers give, and how they say that they cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from unimoer_rag.errors import MissingExtraError
from unimoer_rag.retrieval.limits import TooLargeError

__all__ = ["Extracted", "UnreadableError", "paged", "reading"]


class Extracted(NamedTuple):
    """What a reader finds in a file.

    Attributes:
        text: all that a person reads in it.
        title: or "".
        pages: where its pages begin, as offsets into the text; () where it has none.
        notes: what a person should know about how it was read.
    """

    text: str
    title: str = ""
    pages: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def paged(pages: Sequence[str], title: str, notes: tuple[str, ...] = ()) -> Extracted:
    """Pages as one text, with two newlines between those that have some."""
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + 2 if page else 0
    text = "\n\n".join(filter(None, pages))
    return Extracted(text, title, tuple(min(start, len(text)) for start in starts), notes)


class UnreadableError(Exception):
    """Why bytes have no text, and what to do: `read_document` adds which file it was."""


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on bytes of a kind into `UnreadableError`."""
    try:
        yield
    except (UnreadableError, MissingExtraError):
        raise
    except TooLargeError as error:
        raise UnreadableError(f"{error}; split it, or save what is needed as text") from error
    except Exception as error:  # the parsers raise all kinds on damaged input
        reason = " ".join(str(error).split())
        shown = f"{reason[:200]}..." if len(reason) > 200 else reason
        raise UnreadableError(
            f"damaged or not a {kind} file ({type(error).__name__}: {shown}); "
            "open it in its program and save it again"
        ) from error
