"""Reranking of what any Haystack retriever found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from haystack import Document, component, default_to_dict
from haystack_integrations.common.unimoer import (
    LazyModel,
    ModelComponent,
    check_threshold,
    check_top_k,
    texts_of,
    unique,
)

from unimoer_rag import steps

if TYPE_CHECKING:
    pass

__all__ = ["UniMoERRanker"]


@component
class UniMoERRanker(ModelComponent):
    """Orders documents by their relevance for a query, as `UnifiedRetriever` orders hits.

    The documents that come out are copies with their relevance in [0, 1] as `score`, best first.
    Ties keep their order, a document without a visible character has the score 0, and an id that
    comes twice is ranked once.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        top_k: documents to give; None for all.
        score_threshold: documents scored below this are left out; None for none.
        meta_fields_to_embed: metadata whose values are read before the text.
        embedding_separator: stands between these and the text.

    Raises:
        InputError: a setting cannot be used.

    >>> UniMoERRanker(top_k=3).run("refunds?", documents)              # doctest: +SKIP
    """

    def __init__(
        self,
        model: str = "unimoer-minilm",
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        top_k: int | None = 10,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        check_top_k(top_k)
        check_threshold(score_threshold)
        self._model = LazyModel(model, revision=revision, device=device, dtype=dtype)
        self.top_k, self.score_threshold = top_k, score_threshold
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    def to_dict(self) -> dict[str, Any]:
        """What makes the same component again."""
        return default_to_dict(
            self,
            **self._model.settings,
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """The best documents for a query, best first, as `documents`.

        Args:
            query: what was looked for.
            documents: what was retrieved; left as it is.
            top_k: documents to give, in place of the component's.
            score_threshold: least score, in place of the component's.

        Raises:
            InputError: the query is empty, something is no document, or a setting cannot be used.
        """
        return {"documents": steps.run(self._ranked(query, documents, top_k, score_threshold))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """`run` without blocking the event loop, nor a thread while the model works."""
        ranked = await steps.arun(self._ranked(query, documents, top_k, score_threshold))
        return {"documents": ranked}

    def _ranked(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None,
        score_threshold: float | None,
    ) -> steps.Steps[list[Document]]:
        check_top_k(top_k)
        check_threshold(score_threshold)
        documents = unique(documents)
        if not documents:
            return []
        from unimoer_rag.retrieval import Reranker

        ranker = Reranker(self._model.engine)
        texts = texts_of(documents, self.meta_fields_to_embed, self.embedding_separator)
        n = self.top_k if top_k is None else top_k
        least = self.score_threshold if score_threshold is None else score_threshold
        places = yield from steps.either(ranker.rank, ranker.arank, query, texts, top_n=n)
        return [
            replace(documents[place.index], score=place.score)
            for place in places
            if least is None or place.score >= least
        ]
