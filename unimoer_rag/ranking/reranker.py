"""A ranking method and a language model, as what reranks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal, cast

import numpy as np

from unimoer_rag.errors import InputError
from unimoer_rag.ranking.answer_cache import AnswerCache
from unimoer_rag.ranking.asking import Answer, RankingModel, Request, Source
from unimoer_rag.ranking.cost import Budget, Cost
from unimoer_rag.ranking.method import Calls, Floats, Method, Scored, at_least
from unimoer_rag.ranking.passages import as_passage
from unimoer_rag.retrieval import visible_at
from unimoer_rag.steps import Steps, apart, arun, run

__all__ = ["LLMReranker", "Ranking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """One query's documents, ranked.

    Attributes:
        scores: float32 `[n]`, higher is better; 0 for a document without a visible character.
        source: where they come from: "logits", "logprobs", "words" (the model said a word, and no
            probability is known), or "order".
        notes: what the model wrote of each document; empty where the method has it write nothing.
        cost: what it took.
    """

    scores: Floats
    source: Source | Literal["order"]
    notes: tuple[str, ...]
    cost: Cost


class LLMReranker:
    """Reranks by asking a language model; see `retrieval.Ranks`. Safe to use from any thread.

    Documents come in the order of the first ranking, the best first: methods keep it where the
    model says nothing. They are data (`as_passage`): nothing in one can name another.

    Args:
        method: how, such as `Listwise(window=20)`.
        model: who is asked: a `LocalModel` or a `ServerModel`.
        cache: of answers; one of its own when None.
        max_words: of a document that are shown.

    Raises:
        InputError: the method asks for what the model cannot tell, or a value cannot be used.

    >>> reranker = LLMReranker(Setwise(), ServerModel(ChatServer(url)))       # doctest: +SKIP
    >>> UnifiedRetriever(index="handbook.index", reranker=reranker)            # doctest: +SKIP
    """

    def __init__(
        self,
        method: Method,
        model: RankingModel,
        *,
        cache: AnswerCache | None = None,
        max_words: int = 300,
    ) -> None:
        at_least(1, max_words=max_words)
        if method.needs_likelihoods and not model.has_likelihoods:
            raise InputError(
                f"the method {method.kind!r} needs likelihoods of given words, which "
                f"{type(model).__name__} does not tell: use a LocalModel, or another method, such "
                "as 'pointwise'"
            )
        self.method, self.model = method, model
        self._cache = AnswerCache() if cache is None else cache
        self._max_words = max_words
        self._cost, self._lock = Cost(), Lock()

    @property
    def probabilistic(self) -> bool:
        """Whether scores are probabilities: the method gives such, and the model has logits."""
        return self.method.probabilistic and self.model.has_logits

    @property
    def cost(self) -> Cost:
        """What all rankings so far took."""
        return self._cost

    def calls(self, n: int) -> Calls:
        """Prompts for n documents, those included whose answers will be known."""
        return self.method.calls(n)

    def rank(self, query: str, documents: Sequence[str]) -> Floats:
        """Scores of the documents, float32 `[n]`, higher is better.

        Raises:
            InputError: the query is empty, or a document is no string.
            GenerationError: the model cannot be asked.
        """
        return self.ranking(query, documents).scores

    def ranking(self, query: str, documents: Sequence[str]) -> Ranking:
        """`rank`, with where the scores come from and what they took."""
        # Without a budget nothing ends it.
        return cast(Ranking, run(self._steps(query, documents, Budget())))

    async def aranking(self, query: str, documents: Sequence[str]) -> Ranking:
        """`ranking` without blocking the event loop."""
        return cast(Ranking, await arun(self._steps(query, documents, Budget())))

    def within(self, query: str, documents: Sequence[str], budget: Budget) -> Ranking | None:
        """`ranking` within a budget; None where that ends first. What was spent is in `cost`."""
        return run(self._steps(query, documents, budget))

    def _steps(self, query: str, documents: Sequence[str], budget: Budget) -> Steps[Ranking | None]:
        shown, passages = self._passages(documents)
        asked = as_passage(_checked(query), self._max_words)
        spent = Cost(queries=1)
        scored = _NOTHING
        if shown:
            asking = self.method.steps(asked, passages)
            try:
                requests = next(asking)
                while True:
                    known, missing = self._known(requests)
                    if not budget.allows(spent, len(missing)):
                        asking.close()
                        self._add(spent)
                        return None
                    spent += Cost(cached=len(requests) - len(missing))
                    spent += yield from apart(self._ask, missing, known)
                    requests = asking.send([known[request] for request in requests])
            except StopIteration as end:
                scored = end.value
        spent = replace(spent, broken=scored.broken)
        self._add(spent)
        scores = np.zeros(len(documents), np.float32)
        scores[shown] = scored.scores
        notes = dict(zip(shown, scored.notes, strict=False))
        return Ranking(
            scores=scores,
            source=scored.source,
            notes=tuple(notes.get(at, "") for at in range(len(documents) if notes else 0)),
            cost=spent,
        )

    def _passages(self, documents: Sequence[str]) -> tuple[list[int], list[str]]:
        """The documents that have something to show: their positions, and their lines."""
        lines = {}
        for at in visible_at(documents):
            if not isinstance(documents[at], str):
                raise InputError(f"document {at} is {documents[at]!r}: expected a string")
            if line := as_passage(documents[at], self._max_words):
                lines[at] = line
        return list(lines), list(lines.values())

    def _known(self, requests: Sequence[Request]) -> tuple[dict[Request, Answer], list[Request]]:
        """Answers that are kept, and the requests, each once, of which there is none."""
        found = {one: self._cache.get(self.model.identity, one) for one in requests}
        known = {one: answer for one, answer in found.items() if answer is not None}
        return known, [one for one in found if one not in known]

    def _ask(self, requests: Sequence[Request], known: dict[Request, Answer]) -> Cost:
        """Have requests answered; adds the answers to those that are known."""
        if not requests:
            return Cost()
        begun = time.perf_counter()
        answers = self.model.answers(requests)
        for request, answer in zip(requests, answers, strict=True):
            known[request] = answer
            self._cache.put(self.model.identity, request, answer)
        return Cost.of(answers, time.perf_counter() - begun)

    def _add(self, cost: Cost) -> None:
        with self._lock:
            self._cost += cost

    def __repr__(self) -> str:
        return f"LLMReranker({self.method!r}, {self.model!r})"


_NOTHING = Scored(scores=np.zeros(0, np.float32), source="order")


def _checked(query: str) -> str:
    if not isinstance(query, str) or not query.strip():
        raise InputError(f"the query is {query!r}: expected a text to rank by")
    return query
