"""A cascade: a first ranking, then a language model on its first n where that is uncertain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unimoer_rag.errors import InputError
from unimoer_rag.ranking.cost import Budget, Cost
from unimoer_rag.ranking.method import Calls, Floats, at_least, ordered
from unimoer_rag.ranking.reranker import LLMReranker
from unimoer_rag.retrieval import best_first

if TYPE_CHECKING:  # it imports torch
    from unimoer_rag.retrieval import Ranks

__all__ = ["Cascade"]


class Cascade:
    """Reranks by a language model what another ranking has put first; see `retrieval.Ranks`.

    The certainty of the first ranking is the lead of its best document over the best of the others
    (Zhou and Croft, SIGIR 2007, and `retrieval.auto_rerank`, which calibrates it for searches; a
    search with `rerank="auto"` skips this reranker as any other).

    Args:
        first: ranks all documents; None where they come in the order of their ranking.
        then: the language model's.
        n: documents of the first ranking that it sees; None for all.
        lead: from which on the first ranking is left as it is; None for never.
        max_prompts: of one query. Fewer documents are shown where their prompts could be more.
        max_tokens: of one query. No batch of prompts begins once so many were read and written;
            a ranking that this ends is dropped for the first one.

    Raises:
        InputError: a value cannot be used, or `lead` is given without a first ranking.

    >>> cascade = Cascade(model, LLMReranker(Listwise(), llm), lead=0.3)   # doctest: +SKIP
    """

    probabilistic = False

    def __init__(
        self,
        first: Ranks | None,
        then: LLMReranker,
        *,
        n: int | None = 20,
        lead: float | None = None,
        max_prompts: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        if n is not None:
            at_least(1, n=n)
        if lead is not None and first is None:
            raise InputError(
                f"lead is {lead!r}, and there is no first ranking whose scores it could be of: "
                "give one, or leave the lead out"
            )
        if lead is not None and not lead >= 0:
            raise InputError(f"lead is {lead!r}: expected a difference of scores, 0 or more")
        self.first, self.then = first, then
        self._n, self._lead = n, math.inf if lead is None else lead
        self._budget = Budget(prompts=max_prompts, tokens=max_tokens)
        self.n_certain = self.n_cut = 0

    @property
    def cost(self) -> Cost:
        """What the language model took for all queries so far."""
        return self.then.cost

    def calls(self, n: int) -> Calls:
        """Prompts for n documents: at most, as a certain first ranking needs none."""
        shown = self._depth(n)
        calls = self.then.calls(shown)
        return Calls(calls.n, exact=calls.exact and self._lead == math.inf)

    def rank(self, query: str, documents: Sequence[str]) -> Floats:
        """Scores that keep the order, float32 `[n]`, higher is better; see `ordered`.

        `n_certain` counts queries whose first ranking was left, `n_cut` those that a budget ended.

        Raises:
            InputError: see `LLMReranker.rank`.
            GenerationError: the model cannot be asked.
        """
        if not documents:
            return np.zeros(0, np.float32)
        order = list(range(len(documents)))
        if self.first is not None:
            scores = self.first.rank(query, documents)
            order = best_first(scores)
            if _lead(scores[order]) >= self._lead:
                self.n_certain += 1
                return ordered(order).scores
        shown = order[: self._depth(len(documents))]
        found = self.then.within(query, [documents[at] for at in shown], self._budget)
        if found is None:
            self.n_cut += 1
            return ordered(order).scores
        best = [shown[at] for at in best_first(found.scores)]
        return ordered([*best, *order[len(shown) :]]).scores

    def _depth(self, n: int) -> int:
        """How many documents the language model sees: those whose prompts the budget allows."""
        depths = range(n if self._n is None else min(n, self._n), 0, -1)
        most = self._budget.prompts
        return next((d for d in depths if most is None or self.then.calls(d).n <= most), 0)


def _lead(scores: Floats) -> float:
    """The best score's lead over the best of the others, best first; one alone leads over 0."""
    return float(scores[0] - (scores[1] if len(scores) > 1 else 0.0))
