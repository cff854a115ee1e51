"""Who embeds and who ranks for an index: our own model by its engine, or any other by its port.

Both begin work and give what waits for it, so that searches and ingestion need not know which it
is. The engine fills batches with what was begun together; a port works at once, in the thread that
asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.model import (
    Side,
    StateFormat,
    UniMoER,
    asking,
    embedding,
    indexing,
    keeps_states,
    pairing,
    pairing_states,
    ranking,
    ranking_states,
)
from unimoer_rag.retrieval.ingest import Embedded
from unimoer_rag.retrieval.ports import Embeds, Ranks
from unimoer_rag.retrieval.states import StoredStates
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.types import Hit

__all__ = ["Embedding", "Ranking", "run_by"]

Floats = NDArray[np.float32]


class Embedding(Protocol):
    """Embeds for one index."""

    def documents(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        """Begins to embed passages; what it returns waits for it and gives it."""

    def queries(self, queries: Sequence[str]) -> Future[Floats]:
        """The queries' vectors, float32 `[n, dimension]`."""


class Ranking(Protocol):
    """Ranks for one index."""

    @property
    def probabilistic(self) -> bool:
        """See `Ranks.probabilistic`."""

    def scores(self, query: str, hits: Sequence[Hit]) -> Future[Floats]:
        """Scores of the hits, float32 `[n]`, higher is better."""

    def pairs(self, query: str, hits: Sequence[Hit], first: int) -> Future[Floats] | None:
        """Logits of the first hits with each, float32 `[first, n]`; None where it has none."""


def run_by(
    model: Embeds, reranker: Ranks | None, store: Store, form: StateFormat | None
) -> tuple[Embedding, Ranking | None]:
    """What embeds and what ranks for an index.

    Args:
        model: embeds.
        reranker: ranks; None where nothing does.
        store: the index.
        form: of the token states that the index keeps; None where it keeps none.
    """
    turn = Lock()
    embeds = _OwnEmbedding(model, store, form) if isinstance(model, UniMoER) else _Port(model, turn)
    if isinstance(reranker, UniMoER):
        # Token states are those of the model that the index is of.
        return embeds, _OwnRanking(reranker, store, form if reranker is model else None)
    return embeds, None if reranker is None else _RankingPort(reranker, turn)


class _OwnEmbedding:
    def __init__(self, model: UniMoER, store: Store, form: StateFormat | None) -> None:
        self._model, self._store, self._form = model, store, form
        self._engine = Engine.of(model)

    def documents(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        dimensions = self._store.dimension
        if self._form is None:
            job = embedding(self._model, texts, "document", dimensions=dimensions)
            vectors = self._engine.submit(job)
            return lambda: Embedded(vectors.result(), job.n_truncated)
        both = indexing(self._model, texts, self._form, dimensions=dimensions)
        done = self._engine.submit(both)
        return lambda: Embedded(done.result()[0], both.n_truncated, done.result()[1])

    def queries(self, queries: Sequence[str]) -> Future[Floats]:
        job = asking(self._model, queries, dimensions=self._store.dimension)
        return self._engine.submit(job)


class _OwnRanking:
    probabilistic = True

    def __init__(self, model: UniMoER, store: Store, form: StateFormat | None) -> None:
        self._model, self._engine = model, Engine.of(model)
        self._stored = StoredStates(store, form) if form else None

    def scores(self, query: str, hits: Sequence[Hit]) -> Future[Floats]:
        states = self._stored.of(hits) if self._stored else None
        if self._stored and states:
            form = self._stored.form
            job = ranking_states(self._model, query, states, form, logits=False)
        else:
            job = ranking(self._model, query, _contents(hits), logits=False)
        return self._engine.submit(job)

    def pairs(self, query: str, hits: Sequence[Hit], first: int) -> Future[Floats] | None:
        if not keeps_states(self._model):
            return None
        states = self._stored.of(hits) if self._stored else None
        if self._stored and states:
            job = pairing_states(self._model, query, states, self._stored.form, first)
        else:
            job = pairing(self._model, query, _contents(hits), first)
        return self._engine.submit(job)


class _Port:
    def __init__(self, model: Embeds, turn: Lock) -> None:
        self._model, self._turn = model, turn

    def documents(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        return lambda: Embedded(self._embed(texts, "document"))

    def queries(self, queries: Sequence[str]) -> Future[Floats]:
        return _done(self._embed(queries, "query"))

    def _embed(self, texts: Sequence[str], side: Side) -> Floats:
        if not texts:
            return np.zeros((0, self._model.dimension), np.float32)
        with self._turn:
            return self._model.embed(texts, side)


class _RankingPort:
    def __init__(self, model: Ranks, turn: Lock) -> None:
        self._model, self._turn = model, turn
        self.probabilistic = model.probabilistic

    def scores(self, query: str, hits: Sequence[Hit]) -> Future[Floats]:
        with self._turn:
            return _done(self._model.rank(query, _contents(hits)))

    def pairs(self, query: str, hits: Sequence[Hit], first: int) -> None:
        return None


def _contents(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage.content for hit in hits]


def _done(values: Floats) -> Future[Floats]:
    future: Future[Floats] = Future()
    future.set_result(values)
    return future
