"""`UnifiedRetriever` as a LangChain retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import ConfigDict, Field, field_validator, model_validator

from langchain_unimoer.documents import tell_cut, to_filters, to_langchain, to_unimoer
from langchain_unimoer.relevance import check_threshold, relevance
from langchain_unimoer.spellings import refuse_unknown

if TYPE_CHECKING:
    from unimoer_rag.retrieval import (
        AddReport,
        Mode,
        Rerank,
        UnifiedRetriever,
        types,
    )
else:  # pydantic reads these when the class is made, and their modules import torch
    Mode, Rerank, UnifiedRetriever = str, Any, Any

__all__ = ["UniMoERRetriever"]

_OF_A_CALL = ("k", "rerank", "mode", "filters", "score_threshold")


class UniMoERRetriever(BaseRetriever):
    """Finds and reranks the passages of a `UnifiedRetriever`.

    Every setting may also be given for one call, as `invoke(query, k=3)` or `bind(k=3)`. What a
    document holds is told in `langchain_unimoer.documents.to_langchain`.

    Args:
        retriever: what searches; whoever made it closes it.
        k: documents to give; None for the retriever's own.
        rerank: first-stage results to rerank, 0 for none, "auto" for those of uncertain searches;
            None for the retriever's own.
        mode: first stage, "dense", "sparse" or "hybrid"; None for the retriever's own.
        filters: conditions on source, title and metadata, such as
            `{"source": "a.md", "year": {"gte": 2020}, "tag": ["x", "y"]}`; dates, paths and others
            become what they become as metadata.
        score_threshold: least relevance of what is given, in [0, 1], as
            `langchain_unimoer.relevance` tells it; None for none.

    Raises:
        ValidationError: a setting is unknown or cannot be used (also a ValueError).

    >>> retriever = UnifiedRetriever(index="handbook.index").as_langchain(k=3)  # doctest: +SKIP
    >>> retriever.invoke("how long do refunds take?")                           # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid")

    # An open index is no setting, so dumps leave it out.
    retriever: UnifiedRetriever = Field(exclude=True)
    k: int | None = None
    rerank: Rerank | None = None
    mode: Mode | None = None
    filters: Mapping[str, Any] | None = None
    score_threshold: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, settings: Any) -> Any:
        refuse_unknown(settings, cls.model_fields, of=cls.__name__)
        return settings

    @field_validator("score_threshold", mode="before")
    @classmethod
    def _check_threshold(cls, threshold: Any) -> Any:
        if threshold is not None:
            check_threshold(threshold)
        return threshold

    @field_validator("retriever")
    @classmethod
    def _check_retriever(cls, retriever: object) -> object:
        from unimoer_rag.retrieval import UnifiedRetriever

        if not isinstance(retriever, UnifiedRetriever):
            raise ValueError(f"expected a UnifiedRetriever, got a {type(retriever).__name__}")
        return retriever

    def model_post_init(self, context: Any) -> None:
        """Refuse settings that no search can have, before the first search."""
        from unimoer_rag.retrieval import parse_filters

        self.retriever.check(k=self.k, rerank=self.rerank, mode=self.mode)
        parse_filters(to_filters(self.filters))

    @classmethod
    def from_documents(cls, documents: Iterable[Document], **settings: Any) -> Self:
        """A retriever of these documents, as `add_documents` indexes them.

        An index on disk is open until `retriever.retriever.close()`.

        Args:
            documents: what to index.
            settings: those of the retriever (k, rerank, mode, filters, score_threshold, tags,
                metadata), and those of `RetrieverSettings`, such as model, index, url, dtype, or
                chunking: "whole" for what a text splitter cut already.

        Raises:
            InputError: something is no document; nothing is indexed.
            ValidationError: a setting is unknown or cannot be used; nothing is indexed.

        >>> UniMoERRetriever.from_documents(loader.load(), k=3)        # doctest: +SKIP
        """
        from unimoer_rag.retrieval import DECLARED, UnifiedRetriever

        ours = to_unimoer(documents)  # first, so that a bad document leaves no new index behind
        fields = cls.model_fields.keys()  # for its searches alone
        refuse_unknown(settings, fields | DECLARED.keys(), of=f"{cls.__name__}.from_documents")
        own = {name: settings.pop(name) for name in DECLARED.keys() & settings.keys() - fields}
        indexed = UnifiedRetriever(**own)
        try:
            retriever = cls(retriever=indexed, **settings)
            tell_cut(_add(indexed, ours, replace=False))
        except BaseException:
            indexed.close()
            raise
        return retriever

    def add_documents(self, documents: Iterable[Document], *, replace: bool = False) -> AddReport:
        """Index documents beside what is there; what is there already is left alone.

        A document with an id takes the place of what its source had under that id. Whatever else
        its source has stays, so that chunks of one source may come in many calls; chunks of one
        source with one text are kept once.

        Args:
            documents: to index. `metadata["source"]` names a document's source, else its id or its
                text does; see `langchain_unimoer.documents.to_unimoer` for what metadata become.
            replace: let documents without an id take the place of what their source had under the
                same title, in earlier calls: for sources that are given whole, anew.

        Returns:
            What was added, was there, was removed, and what held no words.

        Raises:
            InputError: something is no document; nothing is indexed.

        >>> retriever.add_documents(loader.load()).added               # doctest: +SKIP
        """
        return _add(self.retriever, to_unimoer(documents), replace=replace)

    async def aadd_documents(
        self, documents: Iterable[Document], *, replace: bool = False
    ) -> AddReport:
        """`add_documents` without blocking the event loop."""
        return await asyncio.to_thread(self.add_documents, documents, replace=replace)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **settings: Any
    ) -> list[Document]:
        threshold, search = self._settings(settings)
        return _told(self.retriever.search(query, **search), threshold)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **settings: Any
    ) -> list[Document]:
        threshold, search = self._settings(settings)
        return _told(await self.retriever.asearch(query, **search), threshold)

    def _settings(self, call: Mapping[str, Any]) -> tuple[float | None, dict[str, Any]]:
        """The threshold, and what to search with: the call's, and ours where it has none."""
        refuse_unknown(call, _OF_A_CALL, of="a search of this retriever")
        own = {name: getattr(self, name) for name in _OF_A_CALL}
        chosen = own | {name: value for name, value in call.items() if value is not None}
        threshold = chosen.pop("score_threshold")
        if threshold is not None:
            check_threshold(threshold)
        return threshold, {**chosen, "filters": to_filters(chosen["filters"])}

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        """What a trace says of the retriever."""
        return LangSmithRetrieverParams(
            **super()._get_ls_params(**kwargs),
            ls_vector_store_provider="qdrant",
            ls_embedding_provider="unimoer",
            ls_embedding_model=self.retriever.embeds.checkpoint,
        )


def _add(
    unified: UnifiedRetriever, documents: Sequence[types.Document], *, replace: bool
) -> AddReport:
    """Index documents; those without an id replace earlier ones only where that is asked for."""
    if replace:
        return unified.add(documents)
    named = [document for document in documents if document.document_id]
    others = [document for document in documents if not document.document_id]
    if not named or not others:
        return unified.add(documents, replace=bool(named))
    one, other = unified.add(named), unified.add(others, replace=False)
    one.documents += other.documents
    one.added += other.added
    one.unchanged += other.unchanged
    one.truncated += other.truncated
    one.problems += other.problems
    return one


def _told(hits: Iterable[types.Hit], threshold: float | None) -> list[Document]:
    kept = (hit for hit in hits if threshold is None or relevance(hit) >= threshold)
    return [to_langchain(hit) for hit in kept]
