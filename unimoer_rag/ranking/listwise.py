"""Listwise ranking (RankGPT): a window of passages is put in order, from the back to the front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from unimoer_rag.errors import InputError
from unimoer_rag.ranking.asking import Asking, Write
from unimoer_rag.ranking.method import Calls, Scored, at_least, ordered
from unimoer_rag.ranking.prompts import order_all
from unimoer_rag.ranking.replies import named_passages, repaired

__all__ = ["Listwise", "Windows", "order_tokens"]


def order_tokens(n: int) -> int:
    """Tokens for the identifiers of n passages, and for words that a model says around them."""
    return 6 * n + 50


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows that slide over a list from its back, as RankGPT's.

    Args:
        window: passages in one.
        step: by which the next one lies further to the front.
        passes: over the whole list.

    Raises:
        InputError: a setting cannot be used.
    """

    window: int
    step: int
    passes: int

    def __post_init__(self) -> None:
        at_least(2, window=self.window)
        at_least(1, step=self.step, passes=self.passes)
        if self.step >= self.window:
            raise InputError(
                f"step is {self.step}, and window {self.window}: expected a step below the window, "
                "so that the best of one are in the next"
            )

    def count(self, n: int) -> int:
        """Windows over n passages: 1 + ceil((n - window) / step) a pass, none for one passage."""
        if n < 2:
            return 0
        return self.passes * (1 + max(0, -(-(n - self.window) // self.step)))

    def slide(
        self, n: int, order: Callable[[Sequence[int]], Asking[list[int]]]
    ) -> Asking[list[int]]:
        """Put n items in order.

        Args:
            n: items.
            order: puts those of a window in order.
        """
        items = list(range(n))
        for _ in range(self.passes if n > 1 else 0):
            start = max(0, n - self.window)
            while True:
                end = start + self.window
                items[start:end] = yield from order(items[start:end])
                if start == 0:
                    break
                start = max(0, start - self.step)
        return items


@dataclass(frozen=True, slots=True)
class Listwise:
    """Asks for an order of all passages in a window; what the reply leaves out stays in its order.

    Sun et al., "Is ChatGPT Good at Search? Investigating Large Language Models as Re-Ranking
    Agents" (RankGPT; arXiv 2304.09542). Prompts for n documents:
    passes x (1 + ceil((n - window) / step)).

    Args:
        window: passages in a prompt.
        step: between two windows.
        passes: over the whole list.

    Raises:
        InputError: a setting cannot be used.
    """

    window: int = 20
    step: int = 10
    passes: int = 1

    kind: ClassVar[str] = "listwise"
    probabilistic: ClassVar[bool] = False
    needs_likelihoods: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._windows()

    def _windows(self) -> Windows:
        return Windows(self.window, self.step, self.passes)

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        return Calls(self._windows().count(n))

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        broken = 0

        def order(items: Sequence[int]) -> Asking[list[int]]:
            nonlocal broken
            shown = [passages[item] for item in items]
            [answer] = yield [Write(order_all(query, shown), order_tokens(len(items)))]
            named = named_passages(answer.text, len(items))
            broken += not (named.clean and len(named.order) == len(items))
            return [items[at] for at in repaired(named.order, len(items))]

        found = yield from self._windows().slide(len(passages), order)
        return ordered(found, broken=broken)
