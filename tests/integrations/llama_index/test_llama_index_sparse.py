"""BM25 as sparse vectors, in LlamaIndex's events and in hybrid search of Qdrant."""

from __future__ import annotations

import math
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.instrumentation.events.embedding import SparseEmbeddingEndEvent
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.sparse_embeddings.unimoer import UniMoERSparseEmbedding
from llama_index.vector_stores.qdrant import QdrantVectorStore
from llama_index_helpers import Events
from qdrant_client import AsyncQdrantClient, QdrantClient

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import BM25Encoder

TEXTS = [
    "The order ZX-81 was returned. The order was late.",
    "The order of a kayak.",
    "The order is late.",
    "We open at nine.",
]


def test_vectors_are_those_of_our_index() -> None:
    bm25 = UniMoERSparseEmbedding()
    own = [BM25Encoder().document(text) for text in TEXTS]
    assert bm25.documents(TEXTS) == (
        [list(vector.indices) for vector in own],
        [list(vector.values) for vector in own],
    )
    _, counts = bm25.queries(["late, late orders", "the"])
    assert list(map(sorted, counts)) == [[1.0, 2.0], []]
    german = UniMoERSparseEmbedding("german")
    assert german.queries(["Rückerstattungen"]) == german.queries(["Rückerstattung"])
    assert bm25.params.modifier == "idf"
    assert german.model_dump()["language"] == "german"
    with pytest.raises(InputError, match="unknown language 'klingon'"):
        UniMoERSparseEmbedding("klingon")


async def test_as_the_framework_asks(events: Events) -> None:
    bm25 = UniMoERSparseEmbedding()
    vector = bm25.get_text_embedding(TEXTS[0])
    [indices], [values] = bm25.documents(TEXTS[:1])
    assert vector == dict(zip(indices, values, strict=True))
    assert await bm25.aget_text_embedding(TEXTS[0]) == vector
    assert bm25.get_text_embedding_batch(TEXTS[:2])[0] == vector
    query = bm25.get_query_embedding("orders")
    assert await bm25.aget_query_embedding("orders") == query
    assert query.keys() < vector.keys()
    assert len(events.of(SparseEmbeddingEndEvent)) == 5


def score(query: str, n: int) -> float:
    """BM25 with the IDF of TEXTS."""
    encoder = BM25Encoder()
    made = [encoder.document(text) for text in TEXTS]
    weights = dict(zip(made[n].indices, made[n].values, strict=True))
    total = 0.0
    asked = encoder.query(query)
    for term, count in zip(asked.indices, asked.values, strict=True):
        with_term = sum(term in vector.indices for vector in made)
        idf = math.log(1 + (len(TEXTS) - with_term + 0.5) / (with_term + 0.5))
        total += count * idf * weights.get(term, 0.0)
    return total


def store(**client: Any) -> QdrantVectorStore:
    bm25 = UniMoERSparseEmbedding()
    return QdrantVectorStore(
        "orders",
        enable_hybrid=True,
        sparse_doc_fn=bm25.documents,
        sparse_query_fn=bm25.queries,
        sparse_config=bm25.params,
        index_doc_id=False,
        **client,
    )


def nodes() -> list[TextNode]:
    return [TextNode(text=text) for text in TEXTS]


@pytest.mark.slow
def test_hybrid_search_of_qdrant(embedding: UniMoEREmbedding) -> None:
    client = QdrantClient(":memory:")
    context = StorageContext.from_defaults(vector_store=store(client=client))
    index = VectorStoreIndex(nodes(), storage_context=context, embed_model=embedding)
    query = "late order ZX-81"

    def found(mode: VectorStoreQueryMode, query: str = query) -> dict[str, float]:
        retriever = index.as_retriever(
            similarity_top_k=4, sparse_top_k=4, vector_store_query_mode=mode
        )
        return {node.text: float(node.score or 0) for node in retriever.retrieve(query)}

    expected = {text: score(query, n) for n, text in enumerate(TEXTS) if score(query, n)}
    sparse = found(VectorStoreQueryMode.SPARSE)
    assert sparse == pytest.approx(expected, abs=1e-5)
    assert next(iter(sparse)) == TEXTS[0]
    hybrid = found(VectorStoreQueryMode.HYBRID)
    assert len(hybrid) == 4
    assert next(iter(hybrid)) == TEXTS[0]
    # A query of stop words finds by meaning alone.
    assert len(found(VectorStoreQueryMode.HYBRID, "what is it?")) == 4
    client.close()


@pytest.mark.slow
async def test_awaited(embedding: UniMoEREmbedding) -> None:
    client = AsyncQdrantClient(":memory:")
    context = StorageContext.from_defaults(vector_store=store(aclient=client))
    index = VectorStoreIndex([], storage_context=context, embed_model=embedding, use_async=True)
    await index.ainsert_nodes(nodes())
    retriever = index.as_retriever(
        similarity_top_k=2, sparse_top_k=2, vector_store_query_mode=VectorStoreQueryMode.HYBRID
    )
    assert (await retriever.aretrieve("late order ZX-81"))[0].text == TEXTS[0]
    await client.close()
