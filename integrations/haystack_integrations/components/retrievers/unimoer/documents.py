"""A hit as a Haystack document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haystack import Document

from unimoer_rag.retrieval import types

__all__ = ["RETRIEVAL", "to_document"]

RETRIEVAL = "retrieval_score"


def to_document(hit: types.Hit) -> Document:
    """A hit as a document with its score.

    Its id is the passage's. Its metadata has the passage's own, `source`, where there are such
    `title`, the `document_id` that it was given and the `page_number` on which it begins (from 1),
    `split_idx_start`, the offset of its first character in the text it was cut from (as Haystack's
    splitters name these), and, where it was reranked, the first stage's `retrieval_score`.
    """
    passage = hit.passage
    meta: dict[str, Any] = {**passage.metadata, "source": passage.source}
    if passage.title:
        meta["title"] = passage.title
    if passage.document_id:
        meta.setdefault("document_id", passage.document_id)
    if passage.page is not None:
        meta.setdefault("page_number", passage.page)
    meta.setdefault("split_idx_start", passage.start)
    if hit.rerank is not None:
        meta[RETRIEVAL] = replace(hit, rerank=None).score
    return Document(id=hit.id, content=hit.text, meta=meta, score=hit.score)
