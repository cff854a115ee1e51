"""`UnifiedRetriever` as a Haystack retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy, apply_filter_policy
from haystack.utils import Secret
from haystack_integrations.common.unimoer import check_threshold, check_top_k
from haystack_integrations.components.retrievers.unimoer.documents import to_document
from haystack_integrations.components.retrievers.unimoer.filters import to_mapping
from haystack_integrations.components.retrievers.unimoer.indexes import (
    checked,
    described,
    opened,
    plain,
)

from unimoer_rag import steps
from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Mode, Rerank, UnifiedRetriever

__all__ = ["UniMoERRetriever"]


@component
class UniMoERRetriever:
    """Finds and reranks the passages of an index: `UnifiedRetriever` in a pipeline.

    What a document holds is told in
    `haystack_integrations.components.retrievers.unimoer.documents.to_document`.

    Args:
        retriever: what searches, which whoever made it closes; or settings of `RetrieverSettings`
            that name an index, such as `{"index": "handbook.index", "mode": "hybrid"}`. That index
            is opened for reading when the component is warmed up, and closed by `close`; what a
            folder gets meanwhile is not seen. A pipeline that is written has the settings.
        api_key: of a Qdrant server that the settings name.
        top_k: documents to give; None for the retriever's own number.
        rerank: first-stage results to rerank, 0 for none, "auto" for those of uncertain searches;
            None for the retriever's own.
        mode: first stage, "dense", "sparse" or "hybrid"; None for the retriever's own.
        filters: conditions on source, title and metadata, in Haystack's form.
        filter_policy: whether filters of a call replace these ("replace") or join them ("merge").
        score_threshold: documents scored below this are left out; None for none.

    Raises:
        InputError: a setting cannot be used.

    >>> retriever = UniMoERRetriever({"index": "handbook.index"}, top_k=3)  # doctest: +SKIP
    >>> retriever.run("how do refunds work?")["documents"]                  # doctest: +SKIP
    """

    def __init__(
        self,
        retriever: UnifiedRetriever | Mapping[str, Any],
        *,
        api_key: Secret | None = None,
        top_k: int | None = None,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: dict[str, Any] | None = None,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        score_threshold: float | None = None,
    ) -> None:
        from unimoer_rag.retrieval import UnifiedRetriever

        check_top_k(top_k)
        check_threshold(score_threshold)
        to_mapping(filters)
        self._settings: Mapping[str, Any] | None = None
        self._opened: UnifiedRetriever | None = None
        if isinstance(retriever, UnifiedRetriever):
            retriever.check(rerank=rerank, mode=mode)
            self._opened = retriever
        elif isinstance(retriever, Mapping):
            checked(retriever)
            self._settings = dict(retriever)
        else:
            raise InputError(
                f"retriever is a {type(retriever).__name__}: expected a UnifiedRetriever, or "
                "settings such as {'index': 'handbook.index'}"
            )
        self._rerank, self._mode = rerank, mode
        self.api_key, self.top_k, self.score_threshold = api_key, top_k, score_threshold
        self.filters, self.filter_policy = filters, _policy(filter_policy)

    def to_dict(self) -> dict[str, Any]:
        """What makes the same component again, without any key.

        Raises:
            InputError: the index is in memory, or a file cannot hold a setting.
        """
        top_k, settings = self.top_k, self._settings
        if settings is None:
            settings = described(self.retriever)
            top_k = self.retriever.k if top_k is None else top_k
        return default_to_dict(
            self,
            retriever=dict(settings),
            api_key=self.api_key,
            top_k=top_k,
            rerank=None if self._rerank is None else plain("rerank", self._rerank),
            mode=self._mode,
            filters=self.filters,
            filter_policy=self.filter_policy.value,
            score_threshold=self.score_threshold,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> UniMoERRetriever:
        """The component that `to_dict` told of."""
        return default_from_dict(cls, data)

    def warm_up(self) -> None:
        """Open the index that the settings name, and load the model or share it.

        Raises:
            StoredIndexError: there is no such index, or it cannot be read.
            StoreError: the server is down or refuses the key.
            CheckpointError: the model is not there, or damaged.
            InputError: a setting cannot be used.
        """
        self.retriever  # noqa: B018 - opens it

    @property
    def retriever(self) -> UnifiedRetriever:
        """What searches."""
        if self._opened is None:
            key = None if self.api_key is None else self.api_key.resolve_value()
            found = opened(self._settings or {}, api_key=key)
            try:
                found.check(rerank=self._rerank, mode=self._mode)
            except InputError:
                found.close()
                raise
            self._opened = found
        return self._opened

    def close(self) -> None:
        """Let go of an index that was opened here; a next run opens it again."""
        if self._opened is not None and self._settings is not None:
            self._opened.close()
            self._opened = None

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """The best passages for a query, best first, as `documents`.

        Args:
            query: what to look for.
            filters: conditions in Haystack's form, which replace or join the component's.
            top_k: documents to give, in place of the component's.
            score_threshold: least score, in place of the component's.

        Raises:
            InputError: the query is empty, or a setting or filter cannot be used.
        """
        return {"documents": steps.run(self._found(query, filters, top_k, score_threshold))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """`run` without blocking the event loop, nor a thread while the model works."""
        found = await steps.arun(self._found(query, filters, top_k, score_threshold))
        return {"documents": found}

    def _found(
        self,
        query: str,
        filters: dict[str, Any] | None,
        top_k: int | None,
        score_threshold: float | None,
    ) -> steps.Steps[list[Document]]:
        check_top_k(top_k)
        check_threshold(score_threshold)
        least = self.score_threshold if score_threshold is None else score_threshold
        wanted = apply_filter_policy(self.filter_policy, self.filters, filters)
        searches = self.retriever
        hits = yield from steps.either(
            searches.search,
            searches.asearch,
            query,
            k=self.top_k if top_k is None else top_k,
            rerank=self._rerank,
            mode=self._mode,
            filters=to_mapping(wanted),
        )
        return [to_document(hit) for hit in hits if least is None or hit.score >= least]


def _policy(policy: str | FilterPolicy) -> FilterPolicy:
    try:
        return policy if isinstance(policy, FilterPolicy) else FilterPolicy.from_str(policy)
    except (ValueError, AttributeError) as error:
        raise InputError(f"filter_policy is {policy!r}: expected 'replace' or 'merge'") from error
