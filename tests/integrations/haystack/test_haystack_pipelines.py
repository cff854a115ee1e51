"""Real pipelines: indexed, asked, written and read again, over two document stores and an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_helpers import EXACT, QUERY, passages
from haystack_integrations.components.embedders.unimoer import (
    UniMoERDocumentEmbedder,
    UniMoERTextEmbedder,
)
from haystack_integrations.components.rankers.unimoer import UniMoERRanker
from haystack_integrations.components.readers.unimoer import UniMoERReader
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.components.retrievers.unimoer import UniMoERRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from unimoer_rag import UnifiedRetriever

Given = dict[str, dict[str, Any]]


def filled(store: Any) -> Any:
    """A document store with the passages, written by a pipeline."""
    pipeline = Pipeline()
    pipeline.add_component("embedder", UniMoERDocumentEmbedder(**EXACT))
    pipeline.add_component("writer", DocumentWriter(store))
    pipeline.connect("embedder.documents", "writer.documents")
    assert pipeline.run({"embedder": {"documents": passages()}})["writer"] == {
        "documents_written": 4
    }
    return store


def asking(retriever: Any) -> Pipeline:
    """Embed, retrieve, rank, read."""
    pipeline = Pipeline()
    pipeline.add_component("embedder", UniMoERTextEmbedder(**EXACT))
    pipeline.add_component("retriever", retriever)
    pipeline.add_component("ranker", UniMoERRanker(**EXACT, top_k=2))
    pipeline.add_component("reader", UniMoERReader(**EXACT))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever.documents", "ranker.documents")
    pipeline.connect("ranker.documents", "reader.documents")
    return pipeline


def question(query: str = QUERY) -> Given:
    return {"embedder": {"text": query}, "ranker": {"query": query}, "reader": {"query": query}}


def answer(found: Given) -> str:
    return str(found["reader"]["answers"][0].data)


@pytest.mark.slow
async def test_over_the_store_in_memory() -> None:
    pipeline = asking(InMemoryEmbeddingRetriever(filled(InMemoryDocumentStore()), top_k=3))
    found = pipeline.run(question(), include_outputs_from={"retriever", "ranker"})
    assert answer(found) == "14 days"
    assert len(found["retriever"]["documents"]) == 3
    assert len(found["ranker"]["documents"]) == 2
    assert answer(await pipeline.run_async(question())) == "14 days"


@pytest.mark.slow
def test_over_qdrant_whose_distribution_shares_our_folders() -> None:
    store = QdrantDocumentStore(":memory:", embedding_dim=384, use_sparse_embeddings=False)
    pipeline = asking(QdrantEmbeddingRetriever(filled(store), top_k=3))
    assert answer(pipeline.run(question())) == "14 days"

    again = Pipeline.loads(pipeline.dumps())
    assert again.to_dict()["components"] == pipeline.to_dict()["components"]
    filled(again.get_component("retriever")._document_store)  # its own, in memory
    assert answer(again.run(question())) == "14 days"


@pytest.mark.slow
def test_written_and_read_again_it_answers_the_same(folder: Path) -> None:
    def asked(pipeline: Pipeline) -> list[tuple[str, float]]:
        given = {"retriever": {"query": QUERY}, "reader": {"query": QUERY}}
        answers = pipeline.run(given)["reader"]["answers"]
        return [(one.document.id, one.score) for one in answers]

    pipeline = Pipeline()
    settings = {"index": str(folder), "rerank": 5, **EXACT}
    pipeline.add_component("retriever", UniMoERRetriever(settings, top_k=2))
    pipeline.add_component("reader", UniMoERReader(**EXACT))
    pipeline.connect("retriever.documents", "reader.documents")
    again = Pipeline.loads(pipeline.dumps())
    assert again.to_dict() == pipeline.to_dict()
    try:
        assert asked(again) == asked(pipeline) != []  # both at once
        retriever = pipeline.get_component("retriever").retriever
        assert isinstance(retriever, UnifiedRetriever)
        assert retriever.model is pipeline.get_component("reader").unimoer
    finally:
        pipeline.close()
        again.close()
    with UnifiedRetriever(index=folder, **EXACT) as writer:  # which nobody holds any more
        assert writer.count()


def test_what_is_joined_wrongly_is_told_when_it_is_joined() -> None:
    from haystack.core.errors import PipelineConnectError

    pipeline = Pipeline()
    pipeline.add_component("embedder", UniMoERTextEmbedder())
    pipeline.add_component("ranker", UniMoERRanker())
    with pytest.raises(PipelineConnectError):
        pipeline.connect("embedder.embedding", "ranker.documents")
