"""What LlamaIndex's postprocessors of ours have in common: nodes in, the best of them out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle

from unimoer_rag.errors import InputError
from unimoer_rag.steps import Steps, arun, either, run

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Ranked, Reranker

__all__ = ["KeepsBest"]

dispatcher = get_dispatcher(__name__)

_EARLIER = "retrieval_score"


class KeepsBest(BaseNodePostprocessor):
    """Keeps the nodes that a reranker puts first; says which reranker, and what it is shown."""

    shown: ClassVar[MetadataMode]
    """The metadata of a node that are ranked with its text."""

    top_n: int = Field(description="Nodes to keep.")

    @abstractmethod
    def _reranker(self) -> tuple[Reranker, str]:
        """What ranks, and its name in events."""

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return run(self._kept(nodes, _checked(query_bundle)))

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await arun(self._kept(nodes, _checked(query_bundle)))

    def _kept(self, nodes: list[NodeWithScore], query: QueryBundle) -> Steps[list[NodeWithScore]]:
        if not nodes:
            return []
        reranker, name = self._reranker()
        texts = [node.node.get_content(metadata_mode=self.shown) for node in nodes]
        with _events(self, name, nodes, query) as ended:
            ranked = yield from either(
                reranker.rank, reranker.arank, query.query_str, texts, top_n=self.top_n
            )
            return ended(_best(nodes, ranked))


@contextmanager
def _events(
    processor: KeepsBest,
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


def _checked(query: QueryBundle | None) -> QueryBundle:
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


def _best(nodes: Sequence[NodeWithScore], ranked: Sequence[Ranked]) -> list[NodeWithScore]:
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
