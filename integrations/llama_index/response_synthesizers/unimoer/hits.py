"""LlamaIndex's nodes as the hits that generators read."""

from __future__ import annotations

from collections.abc import Iterable

from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from unimoer_rag.retrieval import Hit, Passage

__all__ = ["to_hits"]

_RERANKED = "retrieval_score"  # which rerankers leave in a node whose score is theirs


def to_hits(nodes: Iterable[NodeWithScore]) -> dict[str, tuple[Hit, NodeWithScore]]:
    """The nodes that hold text, as hits by their ids, with the nodes.

    The text is the node's own, without metadata, so that places in it are places in the node. A
    score that a reranker gave is the hit's relevance; others say nothing that can be compared.
    """
    found: dict[str, tuple[Hit, NodeWithScore]] = {}
    for scored in nodes:
        text = scored.node.get_content(metadata_mode=MetadataMode.NONE)
        if text.strip():
            hit = Hit(_passage(scored, text), rerank=_relevance(scored))
            found.setdefault(hit.id, (hit, scored))
    return found


def _passage(scored: NodeWithScore, text: str) -> Passage:
    node = scored.node
    start = (node.start_char_idx if isinstance(node, TextNode) else None) or 0
    metadata = node.metadata
    source = str(metadata.get("source") or node.ref_doc_id or node.node_id)
    title = metadata.get("title")
    return Passage(
        text,
        source,
        title if isinstance(title, str) else "",
        start,
        start + len(text),
        page=page if isinstance(page := metadata.get("page"), int) else None,
        document_id=node.node_id,
    )


def _relevance(scored: NodeWithScore) -> float | None:
    score = scored.score
    if score is None or _RERANKED not in scored.node.metadata or not 0 <= score <= 1:
        return None
    return float(score)
