"""Pairwise ranking prompting (PRP): the more relevant of two passages, asked in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np

from unimoer_rag.ranking.asking import Answer, Asking, Choose
from unimoer_rag.ranking.method import Calls, Scored, at_least, one_of, ordered
from unimoer_rag.ranking.prompts import LETTERS, most_relevant
from unimoer_rag.ranking.sorting import bubble_top, bubble_windows, heap_most, heap_top

__all__ = ["Pairwise"]


@dataclass(frozen=True, slots=True)
class Pairwise:
    """A passage wins where both orders of the two name it; else the two tie.

    Qin et al., "Large Language Models are Effective Text Rankers with Pairwise Ranking Prompting"
    (arXiv 2306.17563). Prompts for n documents: "all" n(n-1), "sliding" 2k(n-1), "heapsort" in the
    order of n + k log n.

    Args:
        sort: "all" pairs, a point for a win and half a one for a tie; "heapsort", ended after the
            best k; or "sliding", k passes from the bottom. Ties keep the first ranking's order.
        k: of the best that are sorted; the rest stays in its order behind them, but for "all".

    Raises:
        InputError: a setting cannot be used.
    """

    sort: Literal["all", "heapsort", "sliding"] = "heapsort"
    k: int = 10

    kind: ClassVar[str] = "pairwise"
    probabilistic: ClassVar[bool] = False
    needs_likelihoods: ClassVar[bool] = False

    def __post_init__(self) -> None:
        one_of(("all", "heapsort", "sliding"), sort=self.sort)
        at_least(1, k=self.k)

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        if self.sort == "all":
            return Calls(n * (n - 1))
        if self.sort == "sliding":
            return Calls(2 * bubble_windows(n, self.k, 2, whole=True))
        return Calls(heap_most(n, self.k, 2, lambda size: 2 * (size - 1)), exact=n < 3)

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        duels, n = _Duels(query, passages), len(passages)
        if self.sort == "all":
            return (yield from duels.all_points())
        if self.sort == "sliding":
            order = yield from bubble_top(n, self.k, 2, duels.first_of_ties, whole=True)
        else:
            order = yield from heap_top(n, self.k, 2, duels.best)
        return ordered(order, broken=duels.broken)


class _Duels:
    """Asks about pairs of a query's passages.

    Attributes:
        broken: answers so far that named neither passage.
    """

    def __init__(self, query: str, passages: Sequence[str]) -> None:
        self._query, self._passages = query, passages
        self.broken = 0

    def all_points(self) -> Asking[Scored]:
        """The points of all pairs, as shares of those that can be had."""
        n = len(self._passages)
        pairs = list(combinations(range(n), 2))
        answers = yield [request for pair in pairs for request in self._both(*pair)]
        points = np.zeros(n)
        for (one, other), there, back in zip(pairs, answers[::2], answers[1::2], strict=True):
            share = (self._verdict(there, back) + 1) / 2
            points[one] += share
            points[other] += 1 - share
        scores = (points / max(n - 1, 1)).astype(np.float32)
        return Scored(scores=scores, source="order", broken=self.broken)

    def best(self, items: Sequence[int]) -> Asking[int]:
        """The best of a node and its children; of a tie the one that the first ranking prefers."""
        winner = items[0]
        for other in items[1:]:
            found = yield from self._duel(winner, other)
            if found < 0 or (found == 0 and other < winner):
                winner = other
        return winner

    def first_of_ties(self, items: Sequence[int]) -> Asking[int]:
        """The better of two; of a tie the one that stands first."""
        found = yield from self._duel(items[0], items[1])
        return items[1] if found < 0 else items[0]

    def _duel(self, one: int, other: int) -> Asking[int]:
        there, back = yield self._both(one, other)
        return self._verdict(there, back)

    def _both(self, one: int, other: int) -> list[Choose]:
        pair = self._passages[one], self._passages[other]
        orders = (pair, pair[::-1])
        return [Choose(most_relevant(self._query, order), LETTERS[:2]) for order in orders]

    def _verdict(self, there: Answer, back: Answer) -> int:
        """1 where the first passage wins in both orders, -1 where the second does, else 0."""
        told = [answer.probabilities for answer in (there, back)]
        self.broken += told.count(None)
        wins = [0 if one is None else int(np.sign(one[0] - one[1])) for one in told]
        return wins[0] if wins[0] == -wins[1] else 0
