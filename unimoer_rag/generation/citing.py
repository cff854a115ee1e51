"""The numbers by which a reply names passages."""

from __future__ import annotations

import re

__all__ = ["cited", "in_parentheses", "uncited"]

# Blanks, seen or not, are counted, so that a long run of them is looked at once.
_GAP = r"[\s\u200b-\u200f\u2060\ufeff]{0,3}"
_NUMBER = rf"\^?{_GAP}(\d{{1,9}}){_GAP}"
# "【1†source】", as some servers mark what they quote.
_MARK = r"(?:†[^\]】］〕,;，；、]{0,80})?"
_RANGE = rf"{_NUMBER}(?:[-–—‑−]{_GAP}{_NUMBER})?{_MARK}"
_ONE = _RANGE.replace(r"(\d", r"(?:\d")
_GROUP = (
    rf"[\[【［〔]{_GAP}(?:(?:passage|source)s?{_GAP})?"
    rf"({_ONE}(?:(?:[,;，；、]|and|&){_GAP}{_ONE})*)[\]】］〕]"
)
_CITED = re.compile(_GROUP, re.IGNORECASE)
_NUMBERS = re.compile(_RANGE)
_OF_TEXT = re.compile(rf"(?<!\w){_GROUP}", re.IGNORECASE)  # behind a word it is an index of code
_WITH_BLANKS = re.compile(rf"(?<!\s)\s*{_GROUP}", re.IGNORECASE)


def cited(text: str, n: int) -> list[int]:
    """The passages that a reply names, each once, in order of their first mention.

    Numbers stand in brackets, several of them or a range too: `[2]`, `[1, 3]`, `[1-3]`, `【2】`. A
    number that no passage has is left out, and so is a range whose ends are not both passages.

    Args:
        text: the reply.
        n: passages there are, numbered from 1.

    >>> cited("Yes [3], see [1-2] and [7].", n=3)
    [3, 1, 2]
    """
    found: dict[int, None] = {}
    for group in _CITED.finditer(text):
        for first, last in _NUMBERS.findall(group[1]):
            start, end = int(first), int(last or first)
            if 1 <= start <= end <= n:
                found.update(dict.fromkeys(range(start, end + 1)))
    return list(found)


def uncited(text: str) -> str:
    """A reply without the numbers.

    >>> uncited("Brazil [2], of the south 【1】.")
    'Brazil, of the south.'
    """
    return _WITH_BLANKS.sub("", text)


def in_parentheses(text: str) -> str:
    """A passage's text in which no number in brackets can be taken for a passage's.

    >>> in_parentheses("[2] Never [3]; rows[2]")
    '(2) Never (3); rows[2]'
    """
    return _OF_TEXT.sub(lambda found: f"({found[0][1:-1]})", text)
