"""Texts that others wrote, made to show and do nothing else: on a terminal and on a page."""

from __future__ import annotations

import re

__all__ = ["HARMFUL", "harmless", "one_line"]

# Controls but tab and newline, C1, and what reorders the line: embeddings, overrides, isolates.
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SYMBOLS = 0x2400  # the block of pictures that Unicode has for the first 32 of them


def harmless(text: str) -> str:
    """A text that only shows: as long as before, each control in it a symbol or a space.

    >>> harmless("a\\x1b[2J\\r\\n")
    'a␛[2J \\n'
    """
    return HARMFUL.sub(lambda found: _shown(found[0]), text)


def one_line(text: str) -> str:
    """`harmless` for a name among others, one a line: line ends and tabs are symbols too.

    >>> one_line("a\\nb")
    'a\u240ab'
    """
    return harmless(text).replace("\n", "\u240a").replace("\t", "\u2409")


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    if character == "\x7f":
        return "\u2421"
    return chr(_SYMBOLS + ord(character)) if character < " " else "\ufffd"
