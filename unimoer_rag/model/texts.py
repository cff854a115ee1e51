"""Texts as users give them, checked before a tokenizer sees them."""

from __future__ import annotations

from collections.abc import Sequence

from unimoer_rag.errors import InputError

__all__ = ["check_list", "check_text", "clean_texts"]


def clean_texts(texts: Sequence[str], what: str, *, blank: bool) -> list[str]:
    """Texts fit for a tokenizer; see `check_text`.

    Raises:
        InputError: one cannot be used, or they are no list.
    """
    check_list(texts, "texts")
    # Of a question with many passages, one text is there many times.
    alone = what == "query" and all(text is texts[0] for text in texts)
    return [
        check_text(text, what, None if alone else at, blank=blank) for at, text in enumerate(texts)
    ]


def check_text(text: object, what: str, position: int | None, *, blank: bool = False) -> str:
    """The text, fit for a tokenizer: lone surrogates become U+FFFD.

    Args:
        text: what was given.
        what: it is, for messages.
        position: in a list of such; None where there is but one.
        blank: take a text without a visible character, too.

    Raises:
        InputError: it is no string, or has no visible character and may not be `blank`.
    """
    named = f"the {what}" if position is None else f"{what} {position}"
    if not isinstance(text, str):
        raise InputError(f"{named} is a {type(text).__name__}, expected a string")
    if not blank and not text.strip():
        raise InputError(f"{named} is empty: give text with at least one visible character")
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def check_list(texts: object, what: str) -> None:
    """Refuse a string in the place of a list, which would be taken letter by letter."""
    if isinstance(texts, str):
        raise InputError(f"{what} is one string, expected a list of them: [{texts[:40]!r}]")
