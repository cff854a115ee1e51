"""Query generation: how likely a model is to write the query, given the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unimoer_rag.ranking.asking import Asking, Continue
from unimoer_rag.ranking.method import Calls, Scored, source_of
from unimoer_rag.ranking.prompts import write_query

__all__ = ["QueryGeneration"]


@dataclass(frozen=True, slots=True)
class QueryGeneration:
    """Score is the query's likelihood a token: exp of the mean log-likelihood, in (0, 1].

    Sachan et al., "Improving Passage Retrieval with Zero-Shot Question Generation" (UPR; arXiv
    2204.07496), equation 3; one prompt a document. Needs a local model.
    """

    kind: ClassVar[str] = "query-generation"
    probabilistic: ClassVar[bool] = False
    needs_likelihoods: ClassVar[bool] = True

    def calls(self, n: int) -> Calls:
        """See `Method.calls`."""
        return Calls(n)

    def steps(self, query: str, passages: Sequence[str]) -> Asking[Scored]:
        """See `Method.steps`."""
        answers = yield [Continue(write_query(passage), query) for passage in passages]
        means = [answer.log_likelihood / max(answer.n_continued, 1) for answer in answers]
        return Scored(scores=np.exp(means).astype(np.float32), source=source_of(answers))
