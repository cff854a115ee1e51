"""Reranking of what any LlamaIndex retriever found, by asking a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import ConfigDict, Field
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.postprocessor.unimoer_rerank.base import best_nodes, checked_query, rerank_events

from unimoer_rag.steps import Steps, arun, either, run

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Ranks

__all__ = ["UniMoERLLMRerank"]

dispatcher = get_dispatcher(__name__)


class UniMoERLLMRerank(BaseNodePostprocessor):
    """Keeps the nodes that a reranker of `unimoer_rag.ranking` puts first.

    It is shown what a language model would see of a node: its text, and the metadata meant for it.
    The nodes that come out are copies with the reranker's scores, best first; the score that they
    came with is in `metadata["retrieval_score"]`, which no model is shown. Ties keep their order.

    Args:
        reranker: an `LLMReranker`, a `Cascade`, or whatever else ranks (see `Ranks`).
        top_n: nodes to keep.
        base: callback_manager.

    Raises:
        InputError: `top_n` is below 1.
        ValidationError: another setting is unknown or cannot be used (also a ValueError).

    >>> reranker = make("listwise", ServerModel(ChatServer(url)))          # doctest: +SKIP
    >>> index.as_query_engine(                                         # doctest: +SKIP
    ...     similarity_top_k=20, node_postprocessors=[UniMoERLLMRerank(reranker, top_n=5)]
    ... )
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    reranker: Any = Field(exclude=True, description="Ranks the nodes' texts.")
    top_n: int = Field(description="Nodes to keep.")

    def __init__(self, reranker: Ranks, *, top_n: int = 5, **base: Any) -> None:
        # Here, since it imports torch, which importing the adapter must not.
        from unimoer_rag.retrieval import check_top_n

        check_top_n(top_n)
        settings: dict[str, Any] = {"reranker": reranker, "top_n": top_n}
        super().__init__(**settings, **base)

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised objects, which hold no reranker."""
        return "UniMoERLLMRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return run(self._kept(nodes, checked_query(query_bundle)))

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await arun(self._kept(nodes, checked_query(query_bundle)))

    def _kept(self, nodes: list[NodeWithScore], query: QueryBundle) -> Steps[list[NodeWithScore]]:
        if not nodes:
            return []
        from unimoer_rag.retrieval import Reranker

        reranker = Reranker(self.reranker)
        texts = [node.node.get_content(metadata_mode=MetadataMode.LLM) for node in nodes]
        with rerank_events(self, repr(self.reranker), nodes, query) as ended:
            ranked = yield from either(
                reranker.rank, reranker.arank, query.query_str, texts, top_n=self.top_n
            )
            return ended(best_nodes(nodes, ranked))
