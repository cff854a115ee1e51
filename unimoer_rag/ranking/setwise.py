"""Setwise prompting: which passage of a small set is the most relevant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from unimoer_rag.errors import InputError
from unimoer_rag.ranking.asking import Asking, Choose
from unimoer_rag.ranking.method import Calls, Scored, at_least, one_of, ordered
from unimoer_rag.ranking.prompts import LETTERS, most_relevant
from unimoer_rag.ranking.sorting import bubble_top, bubble_windows, heap_most, heap_top

__all__ = ["Setwise"]


@dataclass(frozen=True, slots=True)
class Setwise:
    """Sorts by the best of c passages: by logits where the model has them, else by its word.

    Zhuang et al., "A Setwise Approach for Effective and Highly Efficient Zero-shot Ranking with
    Large Language Models" (arXiv 2310.09497). Prompts for n documents: "bubblesort"
    the sum of ceil((n-1-i) / (c-1)) over its passes i = 0, ..., k-1, "heapsort" in the order of
    n / (c-1) + k log_(c-1) n.

    Args:
        sort: "heapsort" over nodes of c - 1 children, ended after the best k; or "bubblesort", k
            passes from the bottom.
        c: passages in a prompt.
        k: of the best that are sorted; the rest stays in its order behind them.

    Raises:
        InputError: a setting cannot be used.
    """

    sort: Literal["heapsort", "bubblesort"] = "heapsort"
    c: int = 3
    k: int = 10

    kind: ClassVar[str] = "setwise"
    probabilistic: ClassVar[bool] = False
    needs_likelihoods: ClassVar[bool] = False

    def __post_init__(self) -> None:
        one_of(("heapsort", "bubblesort"), sort=self.sort)
        at_least(1, k=self.k)
        at_least(3, c=self.c)
        if self.c > len(LETTERS):
            raise InputError(f"c is {self.c}: expected {len(LETTERS)} or less, a letter a passage")

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        if self.sort == "bubblesort":
            return Calls(bubble_windows(n, self.k, self.c))
        return Calls(heap_most(n, self.k, self.c - 1, lambda size: 1), exact=n < 3)

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        broken = 0

        def best(items: Sequence[int]) -> Asking[int]:
            nonlocal broken
            shown = [passages[item] for item in items]
            [answer] = yield [Choose(most_relevant(query, shown), LETTERS[: len(items)])]
            told = answer.probabilities
            broken += told is None
            # Of equal ones, and where none is named, the one that stands first.
            return items[0] if told is None else items[told.index(max(told))]

        n = len(passages)
        if self.sort == "bubblesort":
            order = yield from bubble_top(n, self.k, self.c, best)
        else:
            order = yield from heap_top(n, self.k, self.c - 1, best)
        return ordered(order, broken=broken)
