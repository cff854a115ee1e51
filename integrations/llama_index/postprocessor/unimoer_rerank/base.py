"""Reranking of what any LlamaIndex retriever found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle

from unimoer_rag.errors import InputError
from unimoer_rag.steps import Steps, arun, either, run

if TYPE_CHECKING:
    from llama_index.postprocessor.unimoer_rerank.language_model import UniMoERLLMRerank

    from unimoer_rag.engine import SharedModel
    from unimoer_rag.model import UniMoER
    from unimoer_rag.retrieval import Ranked

__all__ = ["UniMoERRerank", "best_nodes", "checked_query", "rerank_events"]

dispatcher = get_dispatcher(__name__)

_EARLIER = "retrieval_score"


class UniMoERRerank(BaseNodePostprocessor):
    """Keeps the nodes that are most relevant for a query, as `UnifiedRetriever` orders hits.

    The nodes that come out are copies, scored by the probability of their relevance, best first.
    The score they came with is in `metadata["retrieval_score"]`, which no model is shown. Ties
    keep their order; a node without a visible character has the score 0.

    All that name one model share it while any of them lives, with `UniMoEREmbedding` and
    `UnifiedRetriever`. Pickled, copied or as a dictionary it is its settings. What names the
    model is fixed; for another, make another one.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        top_n: nodes to keep.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        base: callback_manager.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        InputError: `top_n` is below 1, or the device or dtype cannot be used.
        ValidationError: another setting is unknown or cannot be used (also a ValueError).

    >>> index.as_query_engine(                                         # doctest: +SKIP
    ...     similarity_top_k=50, node_postprocessors=[UniMoERRerank(top_n=5)]
    ... )
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field(frozen=True, description="Checkpoint's name or folder.")
    top_n: int = Field(description="Nodes to keep.")
    revision: str | None = Field(frozen=True, description="Commit of a Hub repository.")
    device: str = Field(frozen=True, description="Device the model runs on.")
    dtype: str = Field(frozen=True, description="Number type the model runs in.")

    _shared: SharedModel = PrivateAttr()

    def __init__(
        self,
        model: str = "unimoer-minilm",
        *,
        top_n: int = 5,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        **base: Any,
    ) -> None:
        # Here, since they import torch, which importing the adapter must not.
        from unimoer_rag.engine import SharedModel
        from unimoer_rag.retrieval import check_top_n

        check_top_n(top_n)
        settings: dict[str, Any] = {
            "model": model,
            "top_n": top_n,
            "revision": revision,
            "device": device,
            "dtype": dtype,
        }
        super().__init__(**settings, **base)
        self._shared = SharedModel(model, revision=revision, device=device, dtype=dtype)

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised objects."""
        return "UniMoERRerank"

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

        reranker = Reranker(self._shared.engine)
        with rerank_events(self, self.model, nodes, query) as ended:
            ranked = yield from either(
                reranker.rank, reranker.arank, query.query_str, _texts(nodes), top_n=self.top_n
            )
            return ended(best_nodes(nodes, ranked))

    @property
    def unimoer(self) -> UniMoER:
        """The live model, which everything that names the same checkpoint holds."""
        return self._shared.model


@contextmanager
def rerank_events(
    processor: UniMoERRerank | UniMoERLLMRerank,
    model_name: str,
    nodes: list[NodeWithScore],
    query: QueryBundle,
) -> Iterator[Callable[[list[NodeWithScore]], list[NodeWithScore]]]:
    """Tell that reranking starts; call what this gives with the nodes to tell that it ended."""
    top_n = processor.top_n
    dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=model_name))
    payload: dict[str, Any] = {
        EventPayload.NODES: nodes,
        EventPayload.MODEL_NAME: model_name,
        EventPayload.QUERY_STR: query.query_str,
        EventPayload.TOP_K: top_n,
    }
    with processor.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:

        def ended(best: list[NodeWithScore]) -> list[NodeWithScore]:
            event.on_end(payload={EventPayload.NODES: best})
            dispatcher.event(ReRankEndEvent(nodes=best))
            return best

        yield ended


def checked_query(query: QueryBundle | None) -> QueryBundle:
    """The query, which has a visible character.

    Raises:
        InputError: it has none, or there is none.
    """
    if query is None or not query.query_str.strip():
        raise InputError(
            "there is no query to rerank for: give query_bundle or query_str, with at least one "
            "visible character"
        )
    return query


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    """What an embedding model would see of the nodes: their text and the metadata meant for it."""
    return [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]


def best_nodes(nodes: Sequence[NodeWithScore], ranked: Sequence[Ranked]) -> list[NodeWithScore]:
    """Copies of the nodes at these places, each with its score."""
    return [NodeWithScore(node=_copy(nodes[place.index]), score=place.score) for place in ranked]


def _copy(scored: NodeWithScore) -> BaseNode:
    """The node with the score it came with, which no model is shown."""
    node = scored.node
    earlier = {} if scored.score is None else {_EARLIER: scored.score}
    # Not deep: an IndexNode may hold a whole query engine.
    return node.model_copy(
        update={
            "metadata": {**node.metadata, **earlier},
            "excluded_embed_metadata_keys": _with_earlier(node.excluded_embed_metadata_keys),
            "excluded_llm_metadata_keys": _with_earlier(node.excluded_llm_metadata_keys),
        }
    )


def _with_earlier(keys: list[str]) -> list[str]:
    return [*(key for key in keys if key != _EARLIER), _EARLIER]
