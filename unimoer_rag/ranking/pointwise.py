"""Pointwise relevance generation: the probability of yes against no, a document at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unimoer_rag.ranking.asking import Asking, Choose
from unimoer_rag.ranking.method import Calls, Scored, source_of
from unimoer_rag.ranking.prompts import YES_NO, relevance

__all__ = ["Pointwise"]


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Score is P(yes) / (P(yes) + P(no)); 0.5 where the model says neither.

    Liang et al., "Holistic Evaluation of Language Models" (arXiv 2211.09110); a prompt a document.
    """

    kind: ClassVar[str] = "pointwise"
    probabilistic: ClassVar[bool] = True
    needs_likelihoods: ClassVar[bool] = False

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        return Calls(n)

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        answers = yield [Choose(relevance(query, passage), YES_NO) for passage in passages]
        told = [answer.probabilities for answer in answers]
        return Scored(
            scores=np.array([0.5 if one is None else one[0] for one in told], np.float32),
            source=source_of(answers),
            broken=told.count(None),
        )
