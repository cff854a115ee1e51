"""What the model computes for requests: vectors, rankings, scores and labels, within limits."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model import (
    ClassifyingHead,
    Explanation,
    Job,
    Side,
    UniMoER,
    classifying,
    embedding,
    explaining,
    ranking,
    routing_weights,
    scoring,
)
from unimoer_rag.retrieval import Ranked, check_top_n, in_order, visible_at
from unimoer_rag.serving.failures import RequestError
from unimoer_rag.serving.metrics import Metrics
from unimoer_rag.serving.settings import ServeSettings

__all__ = ["Inference", "Ranking", "Scores", "Vectors", "check_number"]

T = TypeVar("T")

Routing = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Texts as vectors.

    Attributes:
        vectors: float32 `[n, dimensions]`.
        n_tokens: that the model read of the texts, special ones too.
        n_truncated: texts that were too long and lost their end.
    """

    vectors: NDArray[np.float32]
    n_tokens: int
    n_truncated: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """Texts by relevance, best first; the numbers are those of `Vectors`."""

    ranked: Sequence[Ranked]
    n_tokens: int
    n_truncated: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Float32 `[n]`, one a pair, or `[n, labels]`; the numbers are those of `Vectors`."""

    scores: NDArray[np.float32]
    n_tokens: int
    n_truncated: int


def check_number(settings: ServeSettings, name: str, n: int | None) -> None:
    """Refuse more texts than a request may have.

    Raises:
        RequestError: it is so.
    """
    if n is not None and n > settings.max_texts:
        raise RequestError(
            422,
            f"{name}: {n:,} are more than the {settings.max_texts:,} that a request may "
            "have: ask in parts",
            param=name,
            code="too_many",
        )


class Inference:
    """A model for many clients; every coroutine may be cancelled, and its work ends then.

    Args:
        model: embeds and classifies.
        ranks: what reranks; another than `model` where the retriever has two.
        settings: the limits.
        metrics: counts.
    """

    def __init__(
        self, model: UniMoER, ranks: object, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self._model, self._ranks = model, ranks
        self._settings, self._metrics = settings, metrics

    async def embed(self, texts: Sequence[str], side: Side, dimensions: int | None) -> Vectors:
        """The texts' vectors, as `Engine.aembed` gives them."""
        check_number(self._settings, "input", len(texts))
        with self._metrics.stage("embed"):
            make = partial(embedding, self._model, texts, side, dimensions=dimensions)
            job = await self._made(make, "input")
            vectors = await _done(self._model, job)
        return Vectors(vectors, _count(job), job.n_truncated)

    async def rank(
        self, query: str, texts: Sequence[str], *, top_n: int | None, name: str
    ) -> Ranking:
        """The texts by their relevance for a query, as `Reranker.arank` gives them.

        Args:
            query: what they are ranked for.
            texts: the texts; one without a visible character has the score 0.
            top_n: how many of the best; None for all.
            name: of the request's field that holds the texts.
        """
        ranks = self._reranker()
        check_top_n(top_n)
        check_number(self._settings, name, len(texts))
        visible = visible_at(texts)
        shown = [texts[at] for at in visible]
        with self._metrics.stage("rerank"):
            job = await self._made(partial(ranking, ranks, query, shown, logits=False), name)
            scores = await _done(ranks, job)
        ranked = in_order(len(texts), visible, scores)[:top_n]
        return Ranking(ranked, _count(job), job.n_truncated)

    async def score(self, pairs: Sequence[tuple[str, str]]) -> Scores:
        """Relevance of each text for its query, as `Engine.score` gives it: `[n]`, in [0, 1]."""
        ranks = self._reranker()
        check_number(self._settings, "text_2", len(pairs))
        places: dict[str, list[int]] = defaultdict(list)
        for at, (query, _) in enumerate(pairs):
            places[query].append(at)

        def make() -> Job[NDArray[np.float32]]:
            return _scattered(
                [
                    (scoring(ranks, query, [pairs[i][1] for i in at], "rerank", logits=False), at)
                    for query, at in places.items()
                ]
            )

        with self._metrics.stage("rerank"):
            job = await self._made(make, "text_2")
            scores = await _done(ranks, job)
        return Scores(scores, _count(job), job.n_truncated)

    async def classify(
        self, texts: Sequence[str], pairs: Sequence[str] | None, task: str | None, *, name: str
    ) -> tuple[tuple[str, ...], Scores]:
        """A task's labels, and their probabilities for each text: `[n, labels]`.

        Args:
            texts: the texts.
            pairs: second texts, where pairs are classified.
            task: which; None for the only one that classifies.
            name: of the request's field that holds the texts.
        """
        chosen = self._classifies(task)
        check_number(self._settings, name, len(texts))
        with self._metrics.stage("classify"):
            make = partial(classifying, self._model, texts, pairs, chosen, logits=False)
            job = await self._made(make, name)
            probs = await _done(self._model, job)
        return self._model.task(chosen).labels, Scores(probs, _count(job), job.n_truncated)

    async def explain(self, query: str, text: str) -> tuple[Explanation, Routing]:
        """How a text's relevance came about, and how experts are mixed for both texts.

        The routing is that of each task that embeds or reranks: weights by expert and layer, and
        the strength that they are multiplied by.
        """
        ranks = self._reranker()
        with self._metrics.stage("explain"):
            job = await self._made(partial(explaining, ranks, query, text), "text")
            found = await _done(ranks, job)
            routing = await asyncio.to_thread(_routing, ranks, query, text)
        return found, routing

    def _reranker(self) -> UniMoER:
        if not isinstance(self._ranks, UniMoER):
            raise InputError("no model of ours ranks here")
        return self._ranks

    def _classifies(self, task: str | None) -> str:
        heads = self._model.heads
        known = [one for one in self._model.tasks if isinstance(heads[one], ClassifyingHead)]
        if task in known:
            return str(task)
        if task is None and len(known) == 1:
            return known[0]
        if not known:
            said = (
                "the served checkpoint has no task that classifies: "
                "`unimoer-rag experts add NAME --data FILE` trains one"
            )
        elif task is None:
            said = f"several tasks classify: name one as `task`, of {', '.join(known)}"
        else:
            said = f"task {task!r:.80} does not classify here: {', '.join(known)} do"
        raise RequestError(422, said, param="task", code="no_such_task")

    async def _made(self, make: Callable[[], Job[T]], name: str) -> Job[T]:
        """A job of the model, if it is small enough."""
        job = await asyncio.to_thread(make)  # tokenising takes a while
        if (n := _count(job)) > self._settings.max_tokens:
            raise RequestError(
                422,
                f"{name}: {n:,} tokens are more than the {self._settings.max_tokens:,} that a "
                "request may have: ask in parts",
                param=name,
                code="too_many_tokens",
            )
        return job


def _routing(model: UniMoER, query: str, text: str) -> Routing:
    def of(name: str) -> dict[str, Any]:
        task = model.task(name)
        rows = [*model.rows.single([query], task, "query"), *model.rows.single([text], task)]
        return {"strength": task.strength, "weights": routing_weights(model, rows)}

    return {name: of(name) for name in ("embed", "rerank") if name in model.tasks}


async def _done(model: UniMoER, job: Job[T]) -> T:
    return await asyncio.wrap_future(Engine.of(model).submit(job))


def _scattered(
    parts: Sequence[tuple[Job[NDArray[np.float32]], Sequence[int]]],
) -> Job[NDArray[np.float32]]:
    """Several jobs as one, whose answers lie where each part's places say."""
    rows = [row for job, _ in parts for row in job.rows]

    def finish(outputs: list[Any]) -> NDArray[np.float32]:
        answer, begin = np.zeros(sum(len(at) for _, at in parts), dtype=np.float32), 0
        for job, at in parts:
            answer[list(at)] = job.finish(outputs[begin : begin + len(job.rows)])
            begin += len(job.rows)
        return answer

    return Job(rows, finish)


def _count(job: Job[Any]) -> int:
    return sum(len(row.ids) for row in job.rows)
