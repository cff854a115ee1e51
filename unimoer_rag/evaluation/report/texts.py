"""Texts of data sets and models in what people read: their markup is text, whatever it says."""

from __future__ import annotations

import re
from typing import Any

from unimoer_rag.harmless import harmless

__all__ = ["markdown_cell", "shown"]

# An underscore within a word is a character of it, and a bracket marks up only what a link has.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_MARKUP = re.compile(r"[\\`*~|]|(?<!\w)_|_(?!\w)|\[(?=[^\]]*\][(\[])")


def markdown_cell(text: str) -> str:
    """A text as one cell of a Markdown table: its markup, bars and line ends are text.

    Example:
        >>> print(markdown_cell("a|b\\n<b>*c*"))
        a\\|b &lt;b>\\*c\\*
    """
    flat = " ".join(harmless(text).split())
    return _MARKUP.sub(r"\\\g<0>", _TAG.sub("&lt;", _ENTITY.sub("&amp;", flat)))


def shown(value: Any) -> Any:
    """What a page shows of a value: a text without characters that do things."""
    return harmless(value) if type(value) is str else value
