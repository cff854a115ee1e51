"""`UnifiedRetriever` as a DSPy retriever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

import dspy
from dspy.dsp.utils import dotdict
from dspy.utils.callback import with_callbacks

from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Hit, Mode, Rerank, UnifiedRetriever

__all__ = ["FoundPassages", "UniMoERRM"]


class FoundPassages(dspy.Prediction):  # type: ignore[misc]
    """What a search found.

    Iterated, it gives passages with `long_text`, which `dspy.Retrieve` wants of what is configured
    as `rm`; in all else it is a prediction with these fields.

    Attributes:
        passages: the passages' texts, best first.
        scores: of each, from the last stage that ran.
        sources: where each came from.
        ids: of each, in the index.
        metadata: of each, what was indexed with it.
    """

    def __iter__(self) -> Iterator[Any]:
        for text, score, source in zip(self.passages, self.scores, self.sources, strict=True):
            yield dotdict(long_text=text, score=score, source=source)


class UniMoERRM(dspy.Retrieve):  # type: ignore[misc]
    """Finds and reranks the passages of a `UnifiedRetriever`.

    Called in a module of yours, or by `dspy.Retrieve` where it is the configured `rm`. Copies that
    optimizers make of a program search the same index; `Module.save` writes `k`.

    Args:
        retriever: what searches; whoever made it closes it.
        k: passages to give; None for the retriever's own number.
        rerank: first-stage results to rerank, 0 for none, "auto" for those of uncertain searches;
            None for the retriever's own.
        mode: first stage, "dense", "sparse" or "hybrid"; None for the retriever's own.
        filters: conditions on source, title and metadata, such as
            `{"source": "a.md", "year": {"gte": 2020}, "tag": ["x", "y"]}`.
        callbacks: of DSPy.

    Attributes:
        retriever: what searches.

    Raises:
        InputError: a setting cannot be used.

    >>> search = UniMoERRM(UnifiedRetriever(index="handbook.index"), k=3)  # doctest: +SKIP
    >>> search("how long do refunds take?").passages                       # doctest: +SKIP
    """

    def __init__(
        self,
        retriever: UnifiedRetriever,
        k: int | None = None,
        *,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: Mapping[str, Any] | None = None,
        callbacks: list[Any] | None = None,
    ) -> None:
        # Here, since they import torch, which importing the adapter must not.
        from unimoer_rag.retrieval import UnifiedRetriever, parse_filters

        if not isinstance(retriever, UnifiedRetriever):
            raise InputError(
                f"retriever is a {type(retriever).__name__}: expected a UnifiedRetriever"
            )
        retriever.check(k=k, rerank=rerank, mode=mode)
        parse_filters(filters)
        super().__init__(k=retriever.k if k is None else k, callbacks=callbacks)
        self.retriever = retriever
        self._rerank, self._mode, self._filters = rerank, mode, filters

    def __deepcopy__(self, memo: dict[int, Any]) -> UniMoERRM:
        # An open index is one, however many programs search it.
        copied = copy(self)
        copied.callbacks = [*self.callbacks]
        return copied

    def forward(
        self, query: str, k: int | None = None, filters: Mapping[str, Any] | None = None
    ) -> FoundPassages:
        """The best passages for a query.

        Args:
            query: what to look for.
            k: passages to give, in place of the retriever's.
            filters: conditions, in place of the retriever's.

        Raises:
            InputError: the query is empty, or a setting cannot be used.
        """
        return _found(self.retriever.search(query, **self._settings(k, filters)))

    @with_callbacks  # type: ignore[untyped-decorator]
    async def acall(self, query: str, **settings: Any) -> FoundPassages:
        """`forward` without blocking the event loop, nor a thread while the model works."""
        return await self.aforward(query, **settings)

    async def aforward(
        self, query: str, k: int | None = None, filters: Mapping[str, Any] | None = None
    ) -> FoundPassages:
        """`forward` without blocking the event loop, nor a thread while the model works."""
        return _found(await self.retriever.asearch(query, **self._settings(k, filters)))

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """What `Module.save` writes of it."""
        return {"k": self.k}

    def _settings(self, k: int | None, filters: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "k": self.k if k is None else k,
            "rerank": self._rerank,
            "mode": self._mode,
            "filters": self._filters if filters is None else filters,
        }


def _found(hits: list[Hit]) -> FoundPassages:
    return FoundPassages(
        passages=[hit.text for hit in hits],
        scores=[hit.score for hit in hits],
        sources=[hit.source for hit in hits],
        ids=[hit.id for hit in hits],
        metadata=[dict(hit.metadata) for hit in hits],
    )
