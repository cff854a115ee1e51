"""UniMoEREmbedding where LlamaIndex uses one: indexes, ingestion, vector stores."""

from __future__ import annotations

from pathlib import Path

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.vector_stores.qdrant import QdrantVectorStore
from llama_index_helpers import EXACT, close, handbook_nodes, instruct
from qdrant_client import AsyncQdrantClient, QdrantClient

QUESTION = "How long do refunds take?"
ANSWER = "Refunds are paid within 14 days"


@pytest.fixture(scope="module")
def nodes() -> list[TextNode]:
    """A part of the handbook; every test gives its own copies away."""
    wanted = ("returns-and-refunds.md", "kayak-rental.md", "store-hours.md")
    return [node for node in handbook_nodes() if node.metadata["file"] in wanted]


def copies(nodes: list[TextNode]) -> list[TextNode]:
    return [node.model_copy(deep=True) for node in nodes]


@pytest.mark.slow
async def test_a_vector_store_index(embedding: UniMoEREmbedding, nodes: list[TextNode]) -> None:
    retriever = VectorStoreIndex(copies(nodes), embed_model=embedding).as_retriever()
    found, afound = retriever.retrieve(QUESTION), await retriever.aretrieve(QUESTION)
    assert ANSWER in found[0].text
    assert [node.node_id for node in afound] == [node.node_id for node in found]
    assert afound[0].score == pytest.approx(found[0].score, abs=1e-5)


@pytest.mark.slow
async def test_chunks_that_are_cut_are_told_of_once(minilm_path: Path) -> None:
    """The framework's own splitters make chunks of 1,024 tokens, of which the model reads 256."""
    documents = [Document(text=f"Boat {n} is blue and carries {n} people. " * 200) for n in (2, 3)]
    embedding = UniMoEREmbedding(**EXACT)
    # Not SentenceSplitter, for which early releases of the framework download data.
    long = IngestionPipeline(transformations=[TokenTextSplitter(), embedding])
    with pytest.warns(UserWarning, match="4 of 6 texts are longer than the 256 tokens") as told:
        nodes = long.run(documents=documents)
    assert len(nodes) == 6
    await IngestionPipeline(transformations=[TokenTextSplitter(), embedding]).arun(
        documents=[Document(text="A kayak for two is red. " * 200)]  # a warning would be an error
    )
    # What it says to do helps.
    message = str(told[0].message)
    assert "Settings.chunk_size = 192 and Settings.chunk_overlap = 32, or SentenceSp" in message
    fit = TokenTextSplitter(chunk_size=192, chunk_overlap=32)
    VectorStoreIndex.from_documents(
        documents, embed_model=UniMoEREmbedding(**EXACT), transformations=[fit]
    )


def test_a_blank_node_does_not_stop_an_index(embedding: UniMoEREmbedding) -> None:
    nodes = [TextNode(text="Refunds are paid within 14 days."), TextNode(text=" ")]
    index = VectorStoreIndex(nodes, embed_model=embedding)
    found = index.as_retriever(similarity_top_k=2).retrieve(QUESTION)
    assert [node.text for node in found] == ["Refunds are paid within 14 days.", " "]


@pytest.mark.slow
async def test_a_pipeline(embedding: UniMoEREmbedding, nodes: list[TextNode]) -> None:
    texts = [node.get_content("embed") for node in nodes]
    expected = embedding.get_text_embedding_batch(texts)
    pipeline = IngestionPipeline(transformations=[embedding])
    close([node.embedding for node in pipeline.run(nodes=copies(nodes))], expected)
    pipeline = IngestionPipeline(transformations=[embedding])
    close([node.embedding for node in await pipeline.arun(nodes=copies(nodes))], expected)


@pytest.mark.slow
def test_a_pipeline_runs_again_where_the_weights_are_others(
    embedding: UniMoEREmbedding, own_checkpoint: Path, nodes: list[TextNode]
) -> None:
    first = UniMoEREmbedding(str(own_checkpoint), **EXACT)
    again = UniMoEREmbedding(str(own_checkpoint), **EXACT, embeddings_cache=SimpleKVStore())
    instruct(own_checkpoint, "query: ")
    other = UniMoEREmbedding(str(own_checkpoint), **EXACT)
    known, same, changed = (get_transformation_hash(nodes, each) for each in (first, again, other))
    assert known == same != changed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Specified num_workers")
def test_a_pipeline_in_several_processes(
    embedding: UniMoEREmbedding, nodes: list[TextNode]
) -> None:
    pipeline = IngestionPipeline(transformations=[embedding])
    made = pipeline.run(nodes=copies(nodes), num_workers=2)
    assert [node.text for node in made] == [node.text for node in nodes]
    texts = [node.get_content("embed") for node in nodes]
    close([node.embedding for node in made], embedding.get_text_embedding_batch(texts))


@pytest.mark.slow
def test_qdrant(embedding: UniMoEREmbedding, nodes: list[TextNode]) -> None:
    store = QdrantVectorStore("handbook", client=QdrantClient(":memory:"), index_doc_id=False)
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(copies(nodes), storage_context=context, embed_model=embedding)
    found = index.as_retriever(similarity_top_k=3).retrieve(QUESTION)
    assert ANSWER in found[0].text
    expected = embedding.similarity(
        embedding.get_query_embedding(QUESTION),
        embedding.get_text_embedding(found[0].node.get_content("embed")),
    )
    assert found[0].score == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
async def test_qdrant_async(embedding: UniMoEREmbedding, nodes: list[TextNode]) -> None:
    client = AsyncQdrantClient(":memory:")
    store = QdrantVectorStore("handbook", aclient=client, index_doc_id=False)
    pipeline = IngestionPipeline(transformations=[embedding], vector_store=store)
    await pipeline.arun(nodes=copies(nodes))
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    found = await index.as_retriever(similarity_top_k=3).aretrieve(QUESTION)
    assert ANSWER in found[0].text
    await client.close()
