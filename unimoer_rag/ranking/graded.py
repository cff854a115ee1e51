"""Pointwise graded relevance: the expected value over labels from 0 to 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unimoer_rag.ranking.asking import Asking, Choose
from unimoer_rag.ranking.method import Calls, Scored, source_of
from unimoer_rag.ranking.prompts import GRADES, grade

__all__ = ["Graded"]

_UNKNOWN = sum(map(int, GRADES)) / len(GRADES)


@dataclass(frozen=True, slots=True)
class Graded:
    """Score is the sum of P(label) x label, from 0 to 3; 1.5 where the model says none.

    Zhuang et al., "Beyond Yes and No: Improving Zero-Shot LLM Rankers via Scoring Fine-Grained
    Relevance Labels" (arXiv 2310.14122), expected relevance values; one prompt a document.
    """

    kind: ClassVar[str] = "graded"
    probabilistic: ClassVar[bool] = False
    needs_likelihoods: ClassVar[bool] = False

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        return Calls(n)

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        answers = yield [Choose(grade(query, passage), GRADES) for passage in passages]
        told = [answer.probabilities for answer in answers]
        scores = [_UNKNOWN if one is None else _expected(one) for one in told]
        return Scored(
            scores=np.array(scores, np.float32),
            source=source_of(answers),
            broken=told.count(None),
        )


def _expected(probabilities: Sequence[float]) -> float:
    return sum(p * int(label) for p, label in zip(probabilities, GRADES, strict=True))
