"""Reranking of what any LangChain retriever found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import field_validator

from langchain_unimoer.base import SharesModel
from langchain_unimoer.documents import scored
from unimoer_rag.steps import Steps, arun, either, run

__all__ = ["UniMoERCompressor"]


class UniMoERCompressor(SharesModel, BaseDocumentCompressor):
    """Keeps the documents that are most relevant for a query, as `UnifiedRetriever` orders hits.

    Only `page_content` is read. The documents that come out are copies, with the probability of
    their relevance as `metadata["relevance_score"]`, best first. Ties keep their order; a document
    without a visible character has the score 0.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        top_n: documents to keep; None for all.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        ValidationError: a setting is unknown or cannot be used (also a ValueError).

    >>> UniMoERCompressor(top_n=5).compress_documents(documents, query)  # doctest: +SKIP
    """

    top_n: int | None = 3

    @field_validator("top_n", mode="before")
    @classmethod
    def _check_top_n(cls, top_n: Any) -> Any:
        from unimoer_rag.retrieval import check_top_n

        check_top_n(top_n)
        return top_n

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best documents for a query, best first.

        Args:
            documents: what was retrieved; left as it is.
            query: what was looked for.
            callbacks: not used, since no chain runs in here.

        Raises:
            InputError: the query is empty.
        """
        return run(self._kept(documents, query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """`compress_documents` without blocking the event loop, nor a thread meanwhile."""
        return await arun(self._kept(documents, query))

    def _kept(self, documents: Sequence[Document], query: str) -> Steps[list[Document]]:
        if not documents:
            return []
        from unimoer_rag.retrieval import Reranker

        reranker = Reranker(self._engine)
        texts = [document.page_content for document in documents]
        ranked = yield from either(reranker.rank, reranker.arank, query, texts, top_n=self.top_n)
        return [scored(documents[place.index], place.score) for place in ranked]
