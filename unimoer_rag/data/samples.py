"""A small data set out of a large one: some questions, their passages and some others.

Which ones they are is decided by their ids alone, so that everybody has the same. Fewer passages
are easier to search: figures are higher than over the whole corpus, and only comparable with each
other.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from unimoer_rag.data.corpora import Passages
from unimoer_rag.progress import Progress
from unimoer_rag.retrieval import Document

__all__ = ["Sample", "drawn", "sampled"]

_T = TypeVar("_T")
_TOLD_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class Sample:
    """How much is kept.

    Attributes:
        questions: drawn at random.
        others: passages beside those that are judged for them.
    """

    questions: int
    others: int


def drawn(items: Sequence[_T], n: int, seed: int = 0) -> list[_T]:
    """`n` items drawn at random, in their order; a smaller `n` draws some of the same."""
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    return [items[at] for at in sorted(order[:n])]


def sampled(
    passages: Passages, *, wanted: Container[str], others: int, on_progress: Progress
) -> Passages:
    """Reads the wanted passages of a file and so many others, in the order of the file.

    Args:
        passages: reads the whole file.
        wanted: ids that are kept.
        others: how many more; those whose ids have the smallest SHA-256.
        on_progress: called with "reading passages" and how many are.
    """

    def read(path: Path) -> Iterator[tuple[int, Document]]:
        kept: list[tuple[int, Document]] = []
        smallest: list[tuple[int, int, Document]] = []  # a heap with the largest digest in front
        for n, (line, document) in enumerate(passages(path), start=1):
            if document.source in wanted:
                kept.append((line, document))
            elif others:
                digest = hashlib.sha256(document.source.encode()).digest()
                entry = (-int.from_bytes(digest[:8]), line, document)
                if len(smallest) < others:
                    heapq.heappush(smallest, entry)
                elif entry[0] > smallest[0][0]:
                    heapq.heapreplace(smallest, entry)
            if n % _TOLD_EVERY == 0:
                on_progress("reading passages", n, 0)
        kept += [(line, document) for _, line, document in smallest]
        yield from sorted(kept, key=lambda each: each[0])

    return read
