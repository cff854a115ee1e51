"""`UnifiedRetriever` as a LlamaIndex retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters
from llama_index.retrievers.unimoer.filters import to_mapping
from llama_index.retrievers.unimoer.nodes import to_node

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import parse_filters
from unimoer_rag.retrieval.store.filters import Filters

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Mode, Rerank, UnifiedRetriever

__all__ = ["UniMoERIndexRetriever"]


class UniMoERIndexRetriever(BaseRetriever):
    """Finds and reranks the passages of a `UnifiedRetriever`.

    It looks for the words of the query; vectors and texts that a query transformation adds to a
    `QueryBundle` are not used. What a node holds is told in
    `llama_index.retrievers.unimoer.nodes.to_node`.

    Args:
        retriever: what searches; whoever made it closes it.
        k: nodes to give; None for the retriever's own.
        rerank: first-stage results to rerank, 0 for none, "auto" for those of uncertain searches;
            None for the retriever's own.
        mode: first stage, "dense", "sparse" or "hybrid"; None for the retriever's own.
        filters: conditions on source, title and metadata, as a mapping such as
            `{"source": "a.md", "year": {"gte": 2020}, "tag": ["x", "y"]}` or as LlamaIndex's
            `MetadataFilters` (see `llama_index.retrievers.unimoer.filters.to_mapping`).
        callback_manager: of LlamaIndex.
        verbose: print what recursive retrieval enters.

    Attributes:
        retriever: what searches.

    Raises:
        InputError: a setting cannot be used.

    >>> retriever = UnifiedRetriever(index="handbook.index")           # doctest: +SKIP
    >>> UniMoERIndexRetriever(retriever, k=3).retrieve("refunds?")     # doctest: +SKIP
    """

    def __init__(
        self,
        retriever: UnifiedRetriever,
        *,
        k: int | None = None,
        rerank: Rerank | None = None,
        mode: Mode | None = None,
        filters: Filters | MetadataFilters | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        # Here, since they import torch, which importing the adapter must not.
        from unimoer_rag.retrieval import UnifiedRetriever

        if not isinstance(retriever, UnifiedRetriever):
            raise InputError(
                f"retriever is a {type(retriever).__name__}: expected a UnifiedRetriever"
            )
        retriever.check(k=k, rerank=rerank, mode=mode)
        if isinstance(filters, MetadataFilters):
            filters = to_mapping(filters)
        parse_filters(filters)
        super().__init__(callback_manager=callback_manager, verbose=verbose)
        self.retriever = retriever
        self._settings: dict[str, Any] = {
            "k": k,
            "rerank": rerank,
            "mode": mode,
            "filters": filters,
        }

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self.retriever.search(query_bundle.query_str, **self._settings)
        return [to_node(hit) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self.retriever.asearch(query_bundle.query_str, **self._settings)
        return [to_node(hit) for hit in hits]
