"""Collections that the frameworks' own classes write, with vectors of ours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from unimoer_rag import UniMoER
from unimoer_rag.retrieval import BM25Encoder

TEXTS = (
    "Refunds take five working days. The money goes back to the card that paid.",
    "The library opens at nine and shuts at six.",
    "A kayak for two weighs thirty kilograms.",
    "Paris is the capital of France.",
    "Shipping of a tent takes three days.",
)
METADATA: tuple[dict[str, Any], ...] = (
    {"source": "refunds.md", "title": "Refunds", "year": 2023, "final": True, "tag": ["money"]},
    {"source": "library.md", "year": 2019, "tag": ["money", "a b"], "final": False},
    {"source": "kayak.md", "year": 2024, "a b": "x"},
    {"file_name": "paris.md"},
    {"year": 2023.5},
)
IDS = tuple(f"00000000-0000-0000-0000-00000000000{n}" for n in range(len(TEXTS)))
QUERY = "how long do refunds take?"
NAME = "things"


@dataclass
class Written:
    """A collection, and what the framework itself finds in it: texts with scores, best first."""

    client: QdrantClient
    found: list[tuple[str, float]]
    ids: list[str]


class _Embeddings:
    """The model as LangChain's `Embeddings` and FastEmbed's sparse models are asked."""

    def __init__(self, model: UniMoER, scale: float = 1.0) -> None:
        self.model, self.scale = model, scale

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        lengths = 1 + self.scale * np.arange(len(texts)) if self.scale != 1 else np.ones(len(texts))
        vectors = self.model.embed(list(texts), "document") * lengths[:, None]
        return [[*map(float, vector)] for vector in vectors]

    def embed_query(self, text: str) -> list[float]:
        return [*map(float, self.model.embed([text], "query")[0])]


def langchain(
    model: UniMoER,
    client: QdrantClient,
    *,
    distance: models.Distance = models.Distance.COSINE,
    scale: float = 1.0,
    vector_name: str = "",
    encoder: Any = None,
    modifier: models.Modifier | None = models.Modifier.IDF,
) -> Written:
    """As langchain-qdrant writes one; dense and sparse where there is an encoder."""
    qdrant = pytest.importorskip("langchain_qdrant")
    embeddings = pytest.importorskip("langchain_core.embeddings")
    sparse = pytest.importorskip("langchain_qdrant.sparse_embeddings")

    class Dense(_Embeddings, embeddings.Embeddings):  # type: ignore[misc, name-defined]
        pass

    class Sparse(sparse.SparseEmbeddings):  # type: ignore[misc, name-defined]
        def embed_documents(self, texts: list[str]) -> list[Any]:
            return [self.vector(encoder.document(text)) for text in texts]

        def embed_query(self, text: str) -> Any:
            return self.vector(encoder.query(text))

        def vector(self, made: Any) -> Any:
            return sparse.SparseVector(indices=list(made.indices), values=list(made.values))

    dense = models.VectorParams(size=model.dimension, distance=distance)
    client.create_collection(
        NAME,
        vectors_config={vector_name: dense} if vector_name else dense,
        sparse_vectors_config=None
        if encoder is None
        else {"langchain-sparse": models.SparseVectorParams(modifier=modifier)},
    )
    mode = qdrant.RetrievalMode.DENSE if encoder is None else qdrant.RetrievalMode.HYBRID
    store = qdrant.QdrantVectorStore(
        client,
        NAME,
        embedding=Dense(model, scale),
        sparse_embedding=None if encoder is None else Sparse(),
        retrieval_mode=mode,
        vector_name=vector_name,
        distance=distance,
    )
    store.add_texts(TEXTS, [dict(one) for one in METADATA], ids=list(IDS))
    store.retrieval_mode = qdrant.RetrievalMode.DENSE
    found = store.similarity_search_with_score(QUERY, k=9)
    return Written(
        client,
        [(document.page_content, score) for document, score in found],
        [document.metadata["_id"] for document, _ in found],
    )


def llama_index(model: UniMoER, client: QdrantClient) -> Written:
    """As llama-index-vector-stores-qdrant writes one: metadata is embedded with the text."""
    core = pytest.importorskip("llama_index.core")
    qdrant = pytest.importorskip("llama_index.vector_stores.qdrant")
    schema = pytest.importorskip("llama_index.core.schema")
    embedding = pytest.importorskip("llama_index.embeddings.unimoer").UniMoEREmbedding
    nodes = [
        schema.TextNode(
            id_=key, text=text, metadata=dict(said), excluded_embed_metadata_keys=["tag"]
        )
        for key, text, said in zip(IDS, TEXTS, METADATA, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant")
        store = qdrant.QdrantVectorStore(collection_name=NAME, client=client)
        made = core.VectorStoreIndex(
            nodes,
            storage_context=core.StorageContext.from_defaults(vector_store=store),
            embed_model=embedding("minilm", device="cpu", dtype="float32"),
        )
    found = made.as_retriever(similarity_top_k=9).retrieve(QUERY)
    return Written(client, [(one.text, one.score) for one in found], [one.node_id for one in found])


def haystack(
    model: UniMoER, client: QdrantClient, *, similarity: str = "cosine", sparse: bool = False
) -> Written:
    """As qdrant-haystack writes one; with sparse vectors of our BM25 or without."""
    qdrant = pytest.importorskip("haystack_integrations.document_stores.qdrant")
    dataclasses = pytest.importorskip("haystack.dataclasses")
    store = qdrant.QdrantDocumentStore(
        ":memory:",
        index=NAME,
        embedding_dim=model.dimension,
        similarity=similarity,
        use_sparse_embeddings=sparse,
        sparse_idf=sparse,
        progress_bar=False,
    )
    store._client = client
    store._set_up_collection(NAME, model.dimension, False, similarity, sparse, sparse, False, None)
    vectors, words = model.embed(list(TEXTS), "document"), map(BM25Encoder().document, TEXTS)
    documents = [
        dataclasses.Document(
            id=f"document {at}",
            content=text,
            meta=dict(METADATA[at]),
            embedding=vector.tolist(),
            sparse_embedding=dataclasses.SparseEmbedding(list(w.indices), list(w.values))
            if sparse
            else None,
        )
        for at, (text, vector, w) in enumerate(zip(TEXTS, vectors, words, strict=True))
    ]
    store.write_documents(documents)
    query = model.embed([QUERY], "query")[0].tolist()
    found = store._query_by_embedding(query, top_k=9)
    return Written(client, [(one.content, one.score) for one in found], [o.id for o in found])
