"""Reranking of what any LlamaIndex retriever found, by asking a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.bridge.pydantic import ConfigDict, Field
from llama_index.core.schema import MetadataMode
from llama_index.postprocessor.unimoer_rerank.nodes import KeepsBest

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Ranks, Reranker

__all__ = ["UniMoERLLMRerank"]


class UniMoERLLMRerank(KeepsBest):
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

    shown: ClassVar[MetadataMode] = MetadataMode.LLM

    reranker: Any = Field(exclude=True, description="Ranks the nodes' texts.")

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

    def _reranker(self) -> tuple[Reranker, str]:
        from unimoer_rag.retrieval import Reranker

        return Reranker(self.reranker), repr(self.reranker)
