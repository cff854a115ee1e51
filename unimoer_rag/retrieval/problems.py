"""What was passed over while the rest was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Problem", "by_kind"]

_KEPT = "; its earlier text stays in the index and still answers"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was passed over while the rest was read.

    Attributes:
        path: the file, as sources name it; with ":" and the line number inside a JSONL file.
        reason: a full sentence for people: what could not be read, why, and the remedy.
        kind: why, without what it was: the same for all of a kind; "" where nothing else is so.
        empty: it was read and says nothing, so that what an index has of it is out of date.
        known: the run before told of it, too.
        minor: nothing is amiss: a picture in which nothing is written.
    """

    path: str
    reason: str
    kind: str = ""
    empty: bool = False
    known: bool = False
    minor: bool = False

    def __str__(self) -> str:
        return self.reason

    def with_earlier_text(self) -> Problem:
        """The same, of something whose earlier text an index holds."""
        kind = self.kind and self.kind + _KEPT
        return replace(self, reason=self.reason + _KEPT, kind=kind)


def by_kind(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Problems by their kind, in the order in which kinds come first."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind or problem.reason, []).append(problem)
    return kinds
