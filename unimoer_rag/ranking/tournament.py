"""Tournament (TourRank): the best of each group go on, stage after stage, and collect points."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unimoer_rag.ranking.asking import Answer, Asking, Write
from unimoer_rag.ranking.listwise import order_tokens
from unimoer_rag.ranking.method import Calls, Scored, at_least
from unimoer_rag.ranking.prompts import select
from unimoer_rag.ranking.replies import named_passages

__all__ = ["Stage", "Tournament", "stages"]

_GROUP = 20  # passages in a prompt at most
_GROUPS = 5  # where there is more than one
_FIELDS = (500, 200, 100, 50, 20, 10, 5, 2, 1)  # sizes that stages lead to


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        n: passages in it.
        keeps: how many of each group go on.
    """

    n: int
    keeps: tuple[int, ...]

    def groups(self, items: Sequence[int]) -> list[list[int]]:
        """The stage's groups: its items dealt out, so that each has some of the best."""
        return [list(items[at :: len(self.keeps)]) for at in range(len(self.keeps))]


def stages(n: int) -> list[Stage]:
    """The stages for n passages; those of the paper for 100: to 50, 20, 10, 5 and 2.

    Each stage leads to the next smaller of 500, 200, 100, 50, 20, 10, 5, 2 that leaves out a
    quarter at least; more than 20 passages are dealt to 5 groups, more than 100 to as many as hold
    20 at most.

    >>> [(stage.n, len(stage.keeps), stage.keeps[0]) for stage in stages(100)]
    [(100, 5, 10), (50, 5, 4), (20, 1, 10), (10, 1, 5), (5, 1, 2)]
    """
    found, last = [], 2 if n > 2 else 1
    while n > last:
        left = next((size for size in _FIELDS if last <= size <= 0.75 * n), last)
        n_groups = 1 if n <= _GROUP else max(_GROUPS, -(-n // _GROUP))
        left = max(left, n_groups)  # somebody of every group
        each, more = divmod(left, n_groups)
        found.append(Stage(n, tuple(each + (at < more) for at in range(n_groups))))
        n = left
    return found


@dataclass(frozen=True, slots=True)
class Tournament:
    """Score is the share of stages, over all rounds, that a passage went on from.

    Chen et al., "TourRank: Utilizing Large Language Models for Documents Ranking with a
    Tournament-Inspired Strategy" (arXiv 2406.11678). Prompts: rounds x groups of all stages, 13
    for 100 documents. Rounds differ by the order in which a group is shown, and run at once.

    Args:
        rounds: whose points are added.
        seed: of the orders.

    Raises:
        InputError: a setting cannot be used.
    """

    rounds: int = 2
    seed: int = 0

    kind: ClassVar[str] = "tournament"
    probabilistic: ClassVar[bool] = False
    needs_likelihoods: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least(1, rounds=self.rounds)
        at_least(0, seed=self.seed)

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        return Calls(self.rounds * sum(len(stage.keeps) for stage in stages(n)))

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        n, broken = len(passages), 0
        draw, points = random.Random(self.seed), np.zeros(n)
        fields = [list(range(n)) for _ in range(self.rounds)]
        for stage in stages(n):
            groups = [
                (draw.sample(group, len(group)), keep)
                for field in fields
                for group, keep in zip(stage.groups(field), stage.keeps, strict=True)
            ]
            answers = yield [
                Write(select(query, [passages[item] for item in group], keep), order_tokens(keep))
                for group, keep in groups
            ]
            chosen = [_chosen(answer, *one) for answer, one in zip(answers, groups, strict=True)]
            broken += sum(not clean for _, clean in chosen)
            each = len(stage.keeps)
            for at in range(self.rounds):
                best = [items for items, _ in chosen[at * each : (at + 1) * each]]
                fields[at] = sorted(item for items in best for item in items)
                points[fields[at]] += 1
        most = self.rounds * max(len(stages(n)), 1)
        return Scored(scores=(points / most).astype(np.float32), source="order", broken=broken)


def _chosen(answer: Answer, group: Sequence[int], keep: int) -> tuple[list[int], bool]:
    """The items that an answer chooses, filled by the first ranking; whether it was as asked."""
    named = named_passages(answer.text, len(group))
    ranked = sorted(range(len(group)), key=lambda at: group[at])
    filled = [*named.order, *(at for at in ranked if at not in set(named.order))]
    clean = named.clean and len(named.order) == keep
    return [group[at] for at in filled[:keep]], clean
