"""A hit as a LlamaIndex node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llama_index.core.schema import (
    NodeRelationship,
    NodeWithScore,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from unimoer_rag.retrieval import Hit

__all__ = ["FoundNode", "to_node"]

_EARLIER = "retrieval_score"


class FoundNode(TextNode):
    """A passage that was found; written and read again it is a `TextNode`.

    LlamaIndex tells nodes apart by their hash where it fuses several queries' results
    (`QueryFusionRetriever`). A passage found for two queries has two scores and is one node all the
    same, so the first stage's score is no part of its hash.
    """

    @property
    def hash(self) -> str:
        """That of the passage, for whatever query it was found."""
        kept = {key: value for key, value in self.metadata.items() if key != _EARLIER}
        return TextNode(text=self.text, metadata=kept).hash


def to_node(hit: Hit) -> NodeWithScore:
    """A hit as a node with its score.

    The node's id is the passage's, its source node is named by the passage's source. Its metadata
    has the passage's own, `source`, where there are such `title` and the `page` on which it begins
    (from 1), and, where it was reranked, the first stage's `retrieval_score`, which no model is
    shown. Embedding models are shown the title and the text, as ours was.
    """
    passage = hit.passage
    metadata: dict[str, Any] = {**passage.metadata, "source": passage.source}
    if passage.title:
        metadata["title"] = passage.title
    if passage.page is not None:
        metadata.setdefault("page", passage.page)
    if hit.rerank is not None:
        metadata[_EARLIER] = replace(hit, rerank=None).score
    node = FoundNode(  # type: ignore[call-arg]  # pydantic takes a field by its alias or its name
        id_=hit.id,
        text=passage.text,
        metadata=metadata,
        excluded_embed_metadata_keys=[
            key for key in metadata if not (key == "title" and passage.title)
        ],
        excluded_llm_metadata_keys=[_EARLIER],
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(
                node_id=passage.source, node_type=ObjectType.DOCUMENT
            )
        },
    )
    return NodeWithScore(node=node, score=hit.score)
