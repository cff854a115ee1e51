"""One rule for every text that enters the library, whatever door it came through."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from unimoer_rag.errors import InputError

__all__ = ["clean_name", "clean_text", "legible_text", "visible_text"]

# Half of a UTF-16 pair: Python strings may hold one, but UTF-8, JSON and the tokenizers refuse it.
_SURROGATE = re.compile("[\ud800-\udfff]")
# Control characters other than tab, newline and carriage return carry no text, and some of them
# steer a terminal: ESC and, in one character, CSI and OSC among the C1 controls. WordPiece drops
# them, which would glue the words on both sides. What sets the direction of writing for all that
# follows makes a text read otherwise than it is stored; marks for one letter (U+200E, U+200F) stay.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# Variation selectors and joiners of the category of accents: nobody sees them either.
_INVISIBLE_MARKS = re.compile(
    "[\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)

# Where a line was broken inside a word, and what has no width anywhere. Joiners stay: Persian and
# the signs of families need them.
_BROKEN_WORD = re.compile("\u00ad[ \\t]*\\n[ \\t]*")
_NO_WIDTH = re.compile("[\u00ad\u200b\u2060\ufeff\u180e]")
_SPACES = re.compile("[\u00a0\u2007\u202f]")
# Glyphs that PDFs hold in place of letters: Latin and Armenian ligatures, and the shapes of Hebrew
# and Arabic letters within a word. No tokenizer has learnt them.
_GLYPHS = re.compile("[\ufb00-\ufb06\ufb13-\ufb17\ufb1d-\ufdff\ufe70-\ufefc]+")


def clean_text(text: str) -> str:
    """Return text that can be encoded, stored, tokenised and shown, of the same length.

    Lone surrogates become U+FFFD, form feeds newlines, other control characters and overrides of
    the direction of writing spaces, one character for one, so an offset into the result is an
    offset into `text`.

    Raises:
        InputError: `text` is not a string.

    >>> clean_text("caf\\ud800e")
    'caf�e'
    """
    if not isinstance(text, str):
        raise InputError(f"text must be a str, got {type(text).__name__}: {text!r:.80}")
    return _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", text).replace("\f", "\n"))


def clean_name(name: str) -> str:
    """A file's name as text; names that differ stay different.

    What `clean_text` would replace is written out: bytes that are no UTF-8 as `\\xff`, control
    characters as `\\u0007`.

    >>> clean_name("bad\\udcff.txt")
    'bad\\\\xff.txt'
    """
    if clean_text(name) == name:
        return name
    return "".join(one if clean_text(one) == one else _escaped(ord(one)) for one in name)


def _escaped(code: int) -> str:
    # Python reads a byte of a name that it cannot decode as a surrogate.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def legible_text(text: str) -> str:
    """A text in the letters that its reader would type; its length may change.

    Soft hyphens and characters without width are left out, ligatures and presentation forms
    become letters, and no-break spaces spaces.

    >>> legible_text("of\\ufb01ce re\\u00adfund")
    'office refund'
    """
    if text.isascii():
        return text
    text = _NO_WIDTH.sub("", _BROKEN_WORD.sub("", text))
    return _GLYPHS.sub(_letters, _SPACES.sub(" ", text))


def _letters(glyphs: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", glyphs[0])


def visible_text(text: str) -> str:
    """A text without the characters that nobody sees, for search and never for offsets.

    Soft hyphens, zero-width spaces and joiners, byte order marks, variation selectors, private
    and replacement characters: WordPiece drops them, so keyword search does too.

    >>> visible_text("re\\u00adfund")
    'refund'
    """
    if text.isascii():
        return text
    unseen = {ord(character): None for character in set(text) if _is_unseen(character)}
    return text.translate(unseen) if unseen else text


@lru_cache(maxsize=1 << 12)
def _is_unseen(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cf", "Co")
        or character == "\ufffd"
        or _INVISIBLE_MARKS.match(character) is not None
    )
