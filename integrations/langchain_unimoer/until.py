"""Text that comes in pieces, to the first of some words."""

from __future__ import annotations

from collections.abc import Sequence

from unimoer_rag.errors import InputError

__all__ = ["Until"]


class Until:
    """Gives on what is before the first stop word; what may begin one is held back.

    Args:
        stops: the words; none of them is empty.

    Attributes:
        found: a stop word came.

    Raises:
        InputError: a stop word is empty, or it is one text and no list of them.

    >>> until = Until(["END"])
    >>> until.take("one E"), until.take("N"), until.take("D two"), until.found
    ('one ', '', '', True)
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if isinstance(stops, str) or not all(isinstance(stop, str) and stop for stop in stops):
            raise InputError(f"stop is {stops!r}: expected a list of texts, none of them empty")
        self._stops, self._held, self.found = list(stops), "", False

    def take(self, piece: str) -> str:
        """What can be given on once a piece has come."""
        if self.found:
            return ""
        text = self._held + piece
        places = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        held = max((_beginning(text, stop) for stop in self._stops), default=0)
        given, self._held = text[: len(text) - held], text[len(text) - held :]
        return given

    def end(self) -> str:
        """What was held back and began nothing."""
        held, self._held = self._held, ""
        return held


def _beginning(text: str, stop: str) -> int:
    """How much of a text's end a stop word begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
