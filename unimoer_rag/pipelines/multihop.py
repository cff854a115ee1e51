"""Following what was read to further passages (Iter-RetGen; Shao et al. 2023, arXiv 2305.15294)."""

from __future__ import annotations

from collections.abc import Sequence

from unimoer_rag.generation import Generation, uncited
from unimoer_rag.retrieval import Hit

__all__ = ["expand", "join"]


def expand(question: str, read: Generation) -> str | None:
    """What to look for next: the question with what was read, in the paper `y || q`.

    Args:
        question: what is asked.
        read: the answer from the passages so far.

    Returns:
        The next query, or None where nothing was read that leads on.

    >>> expand("Who wrote the anthem of the host of the 2016 Olympics?", Generation("Brazil [2]."))
    'Who wrote the anthem of the host of the 2016 Olympics? Brazil.'
    """
    found = uncited(read.text or "").strip()
    return f"{question} {found}" if found else None


def join(read: Sequence[Hit], found: Sequence[Hit], *, n: int) -> list[Hit]:
    """What to read next: the better half of what was read, then what was found since.

    The paper reads what was found last alone; a wrong answer then loses what was right before it.
    `scripts/measure_multihop.py` measures both.

    Args:
        read: the passages read on the hop before, best first.
        found: those of the new search, best first.
        n: passages that are read on a hop.
    """
    kept = list(read[: n // 2])
    known = {hit.id for hit in kept}
    return kept + [hit for hit in found if hit.id not in known]
