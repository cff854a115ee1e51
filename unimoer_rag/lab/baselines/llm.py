"""Rerankers that ask a language model, over BM25: `llm-KIND` for every method of `ranking`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unimoer_rag.evaluation import Models, System
from unimoer_rag.generation import ChatServer, LocalLLM
from unimoer_rag.lab.baselines.pins import find_weights, identity_of_weights
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.ranking import (
    AnswerCache,
    LLMReranker,
    LocalModel,
    RankingModel,
    ServerModel,
    method_named,
)
from unimoer_rag.urls import shown_url

__all__ = ["LlmRanker"]


class LlmRanker:
    """A method of `ranking` as a second stage; see `Ranker`.

    No answer of one question is kept for another, so that each is timed as a first one.

    Args:
        kind: of the method, whose settings are its own.
        name: a chat server's URL, or a decoder (see `find_weights`).
        device: see `UniMoER.from_pretrained`; a server's is its own.
        dtype: see `UniMoER.from_pretrained`.

    Raises:
        BackboneError: there is no such decoder.
        InputError: the model cannot be asked in this way.
        GenerationError: the server does not answer.
    """

    def __init__(self, kind: str, name: str, *, device: str = "auto", dtype: str = "auto") -> None:
        self._cache = AnswerCache()
        model, self.modules, self._facts = _model(name, device, dtype)
        self.reranker = LLMReranker(method_named(kind), model, cache=self._cache)

    @property
    def probabilistic(self) -> bool:
        """See `LLMReranker.probabilistic`."""
        return self.reranker.probabilistic

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """See `LLMReranker.rank`."""
        self._cache.clear()
        return self.reranker.rank(query, documents)

    def describe(self) -> Mapping[str, Any]:
        """The model and the method; and what all questions so far took."""
        cost = self.reranker.cost
        spent = {
            "queries": cost.queries,
            "prompts": cost.prompts,
            "prompt_tokens": cost.prompt_tokens,
            "reply_tokens": cost.reply_tokens,
            "seconds": round(cost.seconds, 3),
            "broken": cost.broken,
        }
        return {**self._facts, "method": repr(self.reranker.method), "cost": spent}


def _model(
    name: str, device: str, dtype: str
) -> tuple[RankingModel, Sequence[nn.Module], dict[str, Any]]:
    """Who is asked, what is loaded for it, and what it is."""
    if "://" in name:
        server = ChatServer(name)
        return ServerModel(server), [], {"model": server.model, "url": shown_url(server.url)}
    path, commit = find_weights(name)
    llm = LocalLLM(str(path), device=device, dtype=dtype)
    facts = {
        "model": name,
        **identity_of_weights(path, commit),
        "dtype": str(llm.model.dtype).removeprefix("torch."),
    }
    return LocalModel(llm), [llm.model], facts


def _over_bm25(kind: str) -> Callable[[Models], System]:
    """What builds the system of a method."""

    def build(models: Models) -> System:
        ranker = LlmRanker(kind, models.reranker, **models.where)
        return TwoStage(f"llm-{kind}", ranker=ranker, reader=models.reader)

    return build


pointwise = _over_bm25("pointwise")
graded = _over_bm25("graded")
query_generation = _over_bm25("query-generation")
pairwise = _over_bm25("pairwise")
setwise = _over_bm25("setwise")
listwise = _over_bm25("listwise")
self_consistency = _over_bm25("self-consistency")
tournament = _over_bm25("tournament")
reasoning = _over_bm25("reasoning")
