"""Passages of the same text, as copies of a file give them, told as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from unimoer_rag.retrieval.types import Hit

__all__ = ["Folded", "fold"]


class Folded(NamedTuple):
    """A hit, and those behind it whose passages say the same."""

    hit: Hit
    also: tuple[Hit, ...] = ()


def fold(hits: Iterable[Hit]) -> list[Folded]:
    """Hits in their order, each text once; texts are the same up to white space.

    Texts that are only alike stay apart: two versions of a contract may differ in the one number
    that was asked for.
    """
    groups: dict[str, list[Hit]] = {}
    for hit in hits:
        groups.setdefault(" ".join(hit.text.split()), []).append(hit)
    return [Folded(first, tuple(others)) for first, *others in groups.values()]
