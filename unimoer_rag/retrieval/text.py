"""One rule for every text that enters the library, whatever door it came through."""

from __future__ import annotations

import re

from unimoer_rag.errors import InputError

__all__ = ["clean_text"]

# Half of a UTF-16 pair: Python strings may hold one, but UTF-8, JSON and the tokenizers refuse it.
_SURROGATE = re.compile("[\ud800-\udfff]")
# Control characters other than tab, newline, form feed and carriage return carry no text, and
# Python and Unicode disagree on which of them are white space.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f]")


def clean_text(text: str) -> str:
    """Return text that can be encoded, stored and tokenised, of the same length.

    Lone surrogates become U+FFFD and control characters become spaces, one character for one,
    so an offset into the result is an offset into `text`.

    Raises:
        InputError: `text` is not a string.

    >>> clean_text("caf\\ud800e")
    'caf�e'
    """
    if not isinstance(text, str):
        raise InputError(f"text must be a str, got {type(text).__name__}: {text!r:.80}")
    return _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", text))
