"""What is served, apart from HTTP: one pipeline, asked by many at once, within limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from unimoer_rag.pipelines import Answer, History, RagPipeline
from unimoer_rag.retrieval import (
    AddReport,
    Document,
    Hit,
    Holding,
    Passage,
)
from unimoer_rag.retrieval.holdings import holdings
from unimoer_rag.retrieval.missing_fields import missing_fields
from unimoer_rag.serving.failures import RequestError
from unimoer_rag.serving.inference import Inference, check_number
from unimoer_rag.serving.keys import Keys
from unimoer_rag.serving.metrics import Metrics
from unimoer_rag.serving.schemas import AskRequest, Options, SearchRequest
from unimoer_rag.serving.settings import ServeSettings
from unimoer_rag.serving.variants import varied
from unimoer_rag.urls import url_secrets

__all__ = ["Service"]

P = ParamSpec("P")
T = TypeVar("T")


class Service:
    """A pipeline for many clients; every coroutine may be cancelled.

    Writes are done one after another, by a thread of their own. One that has begun ends, whoever
    has left: what it added stays.

    Args:
        pipeline: what is served. Whoever made it closes its retriever, after `close`.
        settings: names and limits.
        keys: who may ask.

    Attributes:
        model: that embeds.
        inference: what the model computes for requests.
        names: by which requests may call it, the first in answers.
        hidden: what no message to a client may show, and what it shows in its place.
        closing: whether nothing new is begun.

    Raises:
        InputError: another model than ours embeds.
    """

    def __init__(self, pipeline: RagPipeline, settings: ServeSettings, keys: Keys) -> None:
        self.pipeline, self.settings, self.keys = pipeline, settings, keys
        self.retriever = pipeline.retriever
        self.model = self.retriever.model
        self.names = settings.names or (Path(self.model.checkpoint).name,)
        self.metrics = Metrics(self.retriever)
        self.inference = Inference(self.model, self.retriever.ranks, settings, self.metrics)
        self.hidden = _hidden(pipeline, self.names[0])
        self.closing = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="unimoer-write")

    def check_model(self, name: str | None) -> str:
        """The served model's name, if that is the one that was asked for, or none was.

        Raises:
            RequestError: another was: its vectors and scores would be others.
        """
        if name is not None and name not in self.names:
            known = ", ".join(self.names)
            raise RequestError(
                404,
                f"the model {name!r:.80} is not served here: {known} is",
                param="model",
                code="model_not_found",
            )
        return name or self.names[0]

    async def search(self, request: SearchRequest) -> tuple[list[Hit], dict[str, float]]:
        """The hits of a search, and the milliseconds of its stages."""
        self._check_numbers(k=request.k, rerank=request.rerank)
        last, timings = time.perf_counter(), dict[str, float]()

        def ended(stage: str) -> None:
            nonlocal last
            now = time.perf_counter()
            timings[stage], last = round((now - last) * 1000, 2), now

        hits = await self.retriever.asearch(
            request.query,
            k=request.k,
            rerank=request.rerank,
            mode=request.mode,
            filters=request.filters,
            on_stage=ended,
        )
        self.metrics.spent(timings)
        return hits, timings

    async def answer(self, request: AskRequest) -> Answer:
        """The answer to a question, by the pipeline with what the request says of it."""
        asked = self._pipeline(request)
        answer = await asked.aanswer(request.question, filters=request.filters)
        self.metrics.spent(answer.timings)
        return answer

    async def warnings(self, hits: Sequence[Hit], filters: Mapping[str, Any] | None) -> list[str]:
        """What there is to say of filters that found nothing: fields that no passage has."""
        if hits or not filters:
            return []
        said = await asyncio.to_thread(missing_fields, self.retriever.store, filters)
        return [said] if said else []

    def stream(
        self, question: str, options: Options, history: History = ()
    ) -> AsyncIterator[str | Answer]:
        """The same in pieces, then whole; what cannot be asked is refused at once."""
        pipeline = self._pipeline(options)
        return pipeline.astream(question, history=history, filters=options.filters)

    def count_tokens(self, *texts: str) -> int:
        """Tokens of texts, by the model's tokenizer."""
        return sum(map(self.model.rows.count, texts))

    def _pipeline(self, options: Options) -> RagPipeline:
        self._check_numbers(n_read=options.n_read, rerank=options.rerank)
        return varied(self.pipeline, options)

    def _check_numbers(self, **numbers: int | str | None) -> None:
        for name, n in numbers.items():
            check_number(self.settings, name, n if isinstance(n, int) else None)

    # -- documents --------------------------------------------------------------------------

    async def add(self, documents: Sequence[Document], *, replace: bool) -> AddReport:
        """Index documents; see `UnifiedRetriever.add`."""
        check_number(self.settings, "documents", len(documents))
        return await self._written(partial(self.retriever.add, documents, replace=replace))

    async def delete(
        self, ids: Sequence[str] | None = None, filters: Mapping[str, Any] | None = None
    ) -> int:
        """Remove passages; see `UnifiedRetriever.delete`."""
        return await self._written(partial(self.retriever.delete, ids, filters=filters))

    async def index(self) -> dict[str, Any]:
        """What there is to say of the index: what it holds, how it was built and is searched."""
        index = self.retriever
        settings = index.settings
        folder = None if settings.index is None else Path(settings.index).absolute().name
        return {
            "id": folder or (settings.collection if settings.url else "memory"),
            "object": "index",
            "model": self.names[0],
            "passages": await asyncio.to_thread(index.count),
            "dimension": index.dimensions,
            "chunking": index.chunking
            if isinstance(index.chunking, str)
            else asdict(index.chunking),
            "language": index.language,
            "token_states": index.token_states and asdict(index.token_states),
            "mode": index.mode,
            "rerank": index.rerank if isinstance(index.rerank, int) else "auto",
            "k": index.k,
            "read_only": index.store.read_only,
        }

    async def holdings(self, names: Sequence[str]) -> list[Holding]:
        """What the index holds, by name; goes through all of it."""
        return await asyncio.to_thread(holdings, self.retriever.store, names)

    async def passages(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids; absent ones are left out."""
        return await asyncio.to_thread(self.retriever.store.get, ids)

    async def _written(self, write: Callable[[], T]) -> T:
        if self.retriever.store.read_only:
            raise RequestError(403, "the index is served for reading alone", code="read_only")
        return await asyncio.wrap_future(self._writer.submit(write))

    def close(self) -> None:
        """Begin nothing new, and wait for the write that is under way."""
        self.closing = True
        self._writer.shutdown(cancel_futures=True)


def _hidden(pipeline: RagPipeline, name: str) -> Mapping[str, str]:
    """Where things are on this machine, by which messages of the library name them."""

    def found() -> Iterator[tuple[str, str]]:
        settings = pipeline.retriever.settings
        if settings.index is not None:
            yield str(settings.index), "the index"
            yield str(Path(settings.index).absolute()), "the index"
        if settings.url is not None:
            yield settings.url, "the index"
            yield settings.where, "the index"
            yield from ((secret, "***") for secret in url_secrets(settings.url))
        if settings.api_key:
            yield settings.api_key, "***"
        for model in (pipeline.retriever.embeds, pipeline.retriever.ranks):
            checkpoint = getattr(model, "checkpoint", None)
            if checkpoint and checkpoint != Path(checkpoint).name:
                yield str(checkpoint), name

    # A short name stands in every text.
    return {secret: shown for secret, shown in found() if len(secret) > 3}
