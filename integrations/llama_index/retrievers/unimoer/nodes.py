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
from llama_index.retrievers.unimoer.kept import REF_DOC, node_fields, own_metadata

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

    What was indexed as a node (`UniMoERIndex.insert_nodes`) is that node again, under its own id.
    Of all else the node's id is the passage's, and its source node is named by the id of the
    LlamaIndex document that was indexed, or by the passage's source. Its metadata has the passage's
    own, `source`, where there are such `title` and the `page` on which it begins (from 1), and,
    where it was reranked, the first stage's `retrieval_score`, which no model is shown. Embedding
    models are shown the title and the text, as ours was.
    """
    passage = hit.passage
    earlier = {} if hit.rerank is None else {_EARLIER: replace(hit, rerank=None).score}
    fields = node_fields(passage)
    if fields is not None:
        fields["metadata"] = {**own_metadata(passage), **earlier}
        for shown in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
            fields[shown] = [*fields[shown], _EARLIER]
        return NodeWithScore(node=FoundNode(text=passage.text, **fields), score=hit.score)
    metadata: dict[str, Any] = {**own_metadata(passage), "source": passage.source}
    if passage.title:
        metadata["title"] = passage.title
    if passage.page is not None:
        metadata.setdefault("page", passage.page)
    metadata |= earlier
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
                node_id=str(passage.metadata.get(REF_DOC, passage.source)),
                node_type=ObjectType.DOCUMENT,
            )
        },
    )
    return NodeWithScore(node=node, score=hit.score)
