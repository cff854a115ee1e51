"""Reranking of what any LangChain retriever found, by asking a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field, field_validator

from langchain_unimoer.documents import scored
from unimoer_rag.steps import Steps, arun, either, run

__all__ = ["UniMoERLLMCompressor"]


class UniMoERLLMCompressor(BaseDocumentCompressor):
    """Keeps the documents that a reranker of `unimoer_rag.ranking` puts first.

    Only `page_content` is read. The documents that come out are copies, with the reranker's score
    as `metadata["relevance_score"]`, best first. Ties keep their order; a document without a
    visible character has the score 0.

    Args:
        reranker: an `LLMReranker`, a `Cascade`, or whatever else ranks (see `retrieval.Ranks`).
        top_n: documents to keep; None for all.

    Raises:
        ValidationError: a setting is unknown or cannot be used (also a ValueError).

    >>> reranker = make("listwise", ServerModel(ChatServer(url)))     # doctest: +SKIP
    >>> compressor = UniMoERLLMCompressor(reranker=reranker)          # doctest: +SKIP
    >>> best = compressor.compress_documents(documents, query)        # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    reranker: Any = Field(exclude=True)
    top_n: int | None = 3

    @field_validator("reranker")
    @classmethod
    def _check_reranker(cls, reranker: Any) -> Any:
        if not callable(getattr(reranker, "rank", None)):
            raise ValueError("expected what ranks, such as unimoer_rag.ranking.make(...)")
        return reranker

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
            documents: what was retrieved, the best first; left as it is.
            query: what was looked for.
            callbacks: not used, since no chain runs in here.

        Raises:
            InputError: the query is empty.
            GenerationError: the model cannot be asked.
        """
        return run(self._kept(documents, query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """`compress_documents` without blocking the event loop."""
        return await arun(self._kept(documents, query))

    def _kept(self, documents: Sequence[Document], query: str) -> Steps[list[Document]]:
        if not documents:
            return []
        from unimoer_rag.errors import InputError
        from unimoer_rag.retrieval import Reranker

        if not query.strip():
            raise InputError(f"the query is {query!r}: expected a text to rank by")
        reranker = Reranker(self.reranker)
        texts = [document.page_content for document in documents]
        ranked = yield from either(reranker.rank, reranker.arank, query, texts, top_n=self.top_n)
        return [scored(documents[place.index], place.score) for place in ranked]
