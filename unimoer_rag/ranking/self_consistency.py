"""Permutation self-consistency: one order out of those that a model gives of shuffled passages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from unimoer_rag.ranking.aggregation import AGGREGATES
from unimoer_rag.ranking.asking import Answer, Asking, Write
from unimoer_rag.ranking.listwise import Windows, order_tokens
from unimoer_rag.ranking.method import Calls, Scored, at_least, one_of, ordered
from unimoer_rag.ranking.prompts import order_all
from unimoer_rag.ranking.replies import named_passages, repaired

__all__ = ["SelfConsistency"]


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """Each window is asked about in several shuffled orders, all at once; their answers vote.

    Tang et al., "Found in the Middle: Permutation Self-Consistency Improves Listwise Ranking in
    Large Language Models" (arXiv 2310.07712). Prompts: shuffles x those of `Listwise`. An answer
    that names no passage has no vote; where no answer does, the window keeps its order.

    Args:
        shuffles: of a window.
        aggregate: "kemeny", "rrf" (k = 60) or "borda".
        window: passages in a prompt.
        step: between two windows.
        passes: over the whole list.
        seed: of the shuffles.

    Raises:
        InputError: a setting cannot be used.
    """

    shuffles: int = 20
    aggregate: Literal["kemeny", "rrf", "borda"] = "kemeny"
    window: int = 20
    step: int = 10
    passes: int = 1
    seed: int = 0

    kind: ClassVar[str] = "self-consistency"
    probabilistic: ClassVar[bool] = False
    needs_likelihoods: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least(1, shuffles=self.shuffles)
        at_least(0, seed=self.seed)
        one_of(tuple(AGGREGATES), aggregate=self.aggregate)
        self._windows()

    def _windows(self) -> Windows:
        return Windows(self.window, self.step, self.passes)

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        return Calls(self.shuffles * self._windows().count(n))

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        draw, broken = random.Random(self.seed), 0

        def order(items: Sequence[int]) -> Asking[list[int]]:
            nonlocal broken
            n = len(items)
            shuffled = [draw.sample(range(n), n) for _ in range(self.shuffles)]
            answers = yield [
                Write(order_all(query, [passages[items[at]] for at in shown]), order_tokens(n))
                for shown in shuffled
            ]
            votes = [_vote(answer, shown) for answer, shown in zip(answers, shuffled, strict=True)]
            broken += sum(len(vote) < n for vote in votes)
            told = [repaired(vote, n) for vote in votes if vote]
            found = AGGREGATES[self.aggregate](told) if told else range(n)
            return [items[at] for at in found]

        found = yield from self._windows().slide(len(passages), order)
        return ordered(found, broken=broken)


def _vote(answer: Answer, shown: Sequence[int]) -> list[int]:
    """The items that an answer names, in its order."""
    return [shown[at] for at in named_passages(answer.text, len(shown)).order]
